# Copyright (c) mmseg_semi authors.
"""What a network's maps look like, found out when it is built."""
from copy import deepcopy
from typing import Dict, Sequence, Tuple

import torch
from mmengine.config import ConfigDict
from torch import Tensor, nn

from .adapters import Heads, NetworkAdapter
from .head_adapters import scoring_stage
from .taps import TapRecorder

DEFAULT_SIZE = (512, 512)


def input_size(cfg: ConfigDict) -> Tuple[int, int]:
    """The size of image (H, W) that a segmentor's config is made for."""
    backbone = cfg.get('backbone') or {}
    preprocessor = cfg.get('data_preprocessor') or {}
    test_cfg = cfg.get('test_cfg') or {}
    for size in (backbone.get('img_size'), preprocessor.get('size'),
                 test_cfg.get('crop_size')):
        if size is not None:
            return (size, size) if isinstance(size, int) else tuple(size)
    return DEFAULT_SIZE


def input_channels(cfg: ConfigDict) -> int:
    """Channels of the images that a segmentor's config is made for."""
    mean = (cfg.get('data_preprocessor') or {}).get('mean')
    default = len(mean) if mean is not None else 3
    return (cfg.get('backbone') or {}).get('in_channels', default)


class Probe:
    """Widths of a network's feature taps, from a forward without data.

    The forward is of a copy on the meta device and in eval mode, so that it
    costs no arithmetic and leaves weights, buffers and random streams as
    they are. It is made once, when something is asked.

    Args:
        net (nn.Module): A stock segmentor as built.
        size (tuple[int, int]): Of the input, (H, W).
        channels (int): Of the input. Defaults to 3.

    Raises:
        TypeError: The network cannot run, or its scores are no map of its
            classes.
    """

    def __init__(self,
                 net: nn.Module,
                 size: Sequence[int],
                 channels: int = 3) -> None:
        self.size, self.channels = tuple(size), channels
        self.adapter = NetworkAdapter()
        self.copy = deepcopy(net).eval().to('meta')
        self.device = 'meta'
        self.widths: Dict[str, int] = {}
        try:
            maps, scores = self._run(())
        except Exception:  # not all operators run there
            self.copy, self.device = deepcopy(net).eval(), 'cpu'
            try:
                maps, scores = self._run(())
            except Exception as err:
                raise TypeError(
                    f'{_names(net)} cannot run on an image of {self.size} '
                    f'with {self.channels} channels: '
                    f'{type(err).__name__}: {err}') from err
        self.stages = [m.shape[1] for m in maps if isinstance(m, Tensor)]
        self._check(scores)

    def __call__(self, tap: str) -> int:
        """Channels of a feature tap.

        Raises:
            KeyError: The network has no such tap.
            ValueError: What is tapped is no feature map.
        """
        if tap not in self.widths:
            tapped, _ = self._run((tap, ))
            shape = getattr(tapped[0], 'shape', ())
            if len(shape) != 4:
                raise ValueError(
                    f'Feature tap {tap!r} of {_names(self.copy)} is no map '
                    f'(B, D, h, w) but {tuple(shape) or type(tapped[0])}. '
                    'Choose the tap of a convolution.')
            self.widths[tap] = shape[1]
        return self.widths[tap]

    def _run(self, taps: Sequence[str]) -> Tuple[list, Tensor]:
        """Tapped maps, without taps those of the encoder; and scores."""
        net = self.copy
        recorder = TapRecorder(net, taps)
        image = torch.zeros(1, self.channels, *self.size, device=self.device)
        with torch.random.fork_rng(devices=[]), torch.no_grad(), \
                recorder.capture(taps, grad=False) as tapped:
            feats = net.extract_feat(image)
            heads = Heads(self.adapter.decode(net, feats), [])
        scores = self.adapter.read(net, heads)[0]
        if taps:
            maps = self.adapter.features(net, tapped, heads)
            return [maps[tap] for tap in taps], scores
        feats = [feats] if isinstance(feats, Tensor) else feats
        return [f[0] if isinstance(f, (tuple, list)) else f
                for f in feats], scores

    def _check(self, scores: Tensor) -> None:
        head = scoring_stage(self.copy)[1].head
        shape = getattr(scores, 'shape', ())
        if len(shape) != 4 or shape[1] != head.num_classes:
            raise TypeError(
                f'{type(head).__name__} returns {tuple(shape)} for one image '
                f'and {head.num_classes} classes, not scores (B, '
                f'{head.num_classes}, h, w). docs/add_a_head.md shows what a '
                'head of its own must offer.')


def _names(net: nn.Module) -> str:
    head = scoring_stage(net)[1].head
    return (f'{type(net).__name__} of {type(net.backbone).__name__} and '
            f'{type(head).__name__}')
