# Copyright (c) mmseg_semi authors.
"""Reading inner features of trained networks."""
from typing import Optional, Sequence, Tuple

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ..config_files import find_config
from ..engine.load_weights import load_weights
from ..models.adapters import build_adapter
from ..models.taps import TapRecorder


def find_network(
        model: nn.Module,
        name: Optional[str] = None) -> Tuple[Optional[str], nn.Module]:
    """One network of a model, by its name.

    Args:
        model (nn.Module): A :class:`SemiSegmentor`, or a stock segmentor.
        name (str, optional): Of a :class:`SemiSegmentor`: ``student``,
            ``teacher``, .... Defaults to the one that predicts.

    Returns:
        tuple[str | None, nn.Module]: Its name, None for a stock segmentor,
        and the network.

    Raises:
        ValueError: There is no such network.
    """
    networks = getattr(model, 'networks', ())
    if name is not None and name not in networks:
        raise ValueError(f'{type(model).__name__} has no network {name!r}: ' +
                         (f'use one of {list(networks)}.'
                          if networks else 'it is one itself, leave it out.'))
    name = name or getattr(model, 'predict_with', None)
    return name, model.net(name) if networks else model


class FeatureReader:
    """Read one feature map of one network.

    Args:
        model (nn.Module): A :class:`SemiSegmentor`, or a stock segmentor
            with a decode head that scores pixels.
        feature (str): A feature tap, logical (``decoder``: what the
            classification block reads, Z in the PCR paper; ``pre_cls``) or
            explicit (``module.path:input|output``), or the name of a term's
            head, whose features are then read.
        network (str, optional): See :func:`find_network`.

    Raises:
        ValueError: There is no such network.
        KeyError: The feature is not known for this decode head.
    """

    def __init__(self,
                 model: nn.Module,
                 feature: str = 'decoder',
                 network: Optional[str] = None) -> None:
        self.network, self.net = find_network(model, network)
        self.adapter = build_adapter(self.net)
        self.feature = feature
        heads = getattr(self.net, 'semi_heads', {})
        self.head = heads[feature] if feature in heads else None
        self.tap = feature if self.head is None else self.head.tap
        self.recorder = TapRecorder(self.net, [self.tap])

    @property
    def align_corners(self) -> bool:
        """How the network resizes this map."""
        return self.net.align_corners

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Features (B, D, h, w) of normalised images (B, 3, H, W)."""
        features = self.adapter.map_at(self.net, images, self.tap,
                                       self.recorder)
        if not isinstance(features, Tensor) or features.dim() != 4:
            found = getattr(features, 'shape', type(features).__name__)
            raise ValueError(
                f'Feature tap {self.tap!r} is no feature map (B, D, h, w) '
                f'but {found}. Choose the tap of a convolution.')
        return features if self.head is None else self.head.features(features)


def labels_at_input(samples: Sequence, size: Sequence[int],
                    num_classes: int) -> Tensor:
    """Ground truth at the pixels that the network sees.

    A test pipeline may resize the image but not its annotation, and the
    preprocessor may pad at the right and at the bottom: labels are resized
    to the image (nearest neighbour), and padding is ignored.

    Args:
        samples (Sequence[SegDataSample]): With ``gt_sem_seg``.
        size (Sequence[int]): Height and width of the network's input.
        num_classes (int): C.

    Returns:
        Tensor: (B, H, W) long, in [0, C), 255 where ignored.

    Raises:
        ValueError: An annotation is missing or holds other ids.
    """
    result = []
    for sample in samples:
        if 'gt_sem_seg' not in sample:
            raise ValueError(
                f'{sample.get("img_path")} has no annotation: the pipeline '
                'needs LoadAnnotations.')
        labels = sample.gt_sem_seg.data[:1]
        wrong = labels[(labels != 255)
                       & ~((labels >= 0) & (labels < num_classes))]
        if len(wrong):
            raise ValueError(
                f'The annotation of {sample.get("img_path")} holds ids '
                f'{wrong.unique().tolist()[:5]} but there are {num_classes} '
                'classes. Check reduce_zero_label and the data set.')
        height, width = sample.img_shape[:2]
        if labels.shape[1:] != (height, width):
            labels = F.interpolate(
                labels[None].float(), (height, width),
                mode='nearest-exact')[0].long()
        padding = (0, size[1] - width, 0, size[0] - height)
        result.append(F.pad(labels, padding, value=255).long())
    return torch.cat(result)


def load_for_analysis(config: str,
                      checkpoint: str,
                      cfg_options: Optional[dict] = None) -> tuple:
    """Build a model and load all its weights.

    Args:
        config (str): Config file, ours or any of mmseg's.
        checkpoint (str): Local file; that of a plain segmentor fits our
            configs too.
        cfg_options (dict, optional): Overrides of the config.

    Returns:
        tuple[Config, nn.Module]: The model is on the CPU and in eval mode.

    Raises:
        CheckpointError: The file is damaged, unsafe, or of another model, or
            lacks weights of a backbone, neck or decode head.
    """
    cfg = Config.fromfile(find_config(config))
    cfg.merge_from_dict(cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    model = MODELS.build(cfg.model)
    load_weights(model, checkpoint, config)
    return cfg, model.eval()
