# Copyright (c) mmseg_semi authors.
from pathlib import Path
from typing import Dict

from mmseg.models.backbones import ResNetV1c
from mmseg.registry import MODELS
from torch import Tensor

CONVERTER = 'tools/model_converters/deep_stem_resnet_to_mmseg.py'
ZOO = ('or take the weights that OpenMMLab has for a 32-32-64 stem by '
       'backbone.stem_channels=64 and '
       'backbone.init_cfg.checkpoint=open-mmlab://resnet101_v1c')


@MODELS.register_module()
class DeepStemResNet(ResNetV1c):
    """The ResNet of U2PL, PCR, BRPG, CPS and UniMatch: stem 64-64-128.

    OpenMMLab's ``ResNetV1c`` has a stem of 32-32-64 channels by default, and
    the ImageNet weights it can fetch fit that one only. Those of this network
    come from the authors' repositories (``resnet50.pth``, ``resnet101.pth``)
    and are converted by ``deep_stem_resnet_to_mmseg.py``. Weights with
    another stem are refused, which mmengine would load without the stem.

    Args:
        depth (int): 50, 101, ...
        stem_channels (int): Width of the stem's last convolution; the first
            two have half of it. Defaults to 128.
        ceil_pool (bool): Max pooling rounds sizes up, as U2PL's and BRPG's.
            Defaults to False, as CPS' and UniMatch's.
        **kwargs: As in :class:`mmseg.models.backbones.ResNet`.
    """

    def __init__(self,
                 depth: int,
                 stem_channels: int = 128,
                 ceil_pool: bool = False,
                 **kwargs) -> None:
        super().__init__(depth=depth, stem_channels=stem_channels, **kwargs)
        self.maxpool.ceil_mode = ceil_pool

    def init_weights(self) -> None:
        """As ``init_cfg`` says.

        Raises:
            FileNotFoundError: It names a file that is not there.
            ValueError: The file is for another stem.
        """
        cfg = self.init_cfg
        path = cfg.get('checkpoint') if isinstance(cfg, dict) else None
        if path and '://' not in path and not Path(path).exists():
            raise FileNotFoundError(
                f'backbone.init_cfg.checkpoint: {path} does not exist. '
                'Weights with a 64-64-128 stem cannot be fetched by name: get '
                f'resnet{self.depth}.pth from the repository of UniMatch or '
                f'U2PL and run\n  python {CONVERTER} resnet{self.depth}.pth '
                f'{path}\n{ZOO}; or none by backbone.init_cfg=None. See '
                'docs/pretrained_weights.md.')
        super().init_weights()

    def _load_from_state_dict(self, state_dict: Dict[str, Tensor], prefix: str,
                              *args) -> None:
        self._check_stem(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _check_stem(self, state_dict: Dict[str, Tensor], prefix: str) -> None:
        """Raise ``ValueError`` if weights belong to another stem."""
        if any(name.startswith(f'{prefix}conv1.') for name in state_dict):
            raise ValueError(
                'The weights for the backbone name their stem "conv1": those '
                f'of the authors are converted by\n  python {CONVERTER} '
                'SOURCE TARGET\nothers, as torchvision\'s with one 7x7 '
                f'convolution, do not fit; {ZOO}.')
        given = state_dict.get(f'{prefix}stem.6.weight')
        own = self.stem[6].weight
        if given is not None and given.shape != own.shape:
            raise ValueError(
                f'The weights for the backbone have a stem that ends '
                f'{len(given)} channels wide, the network one of {len(own)}: '
                f'set backbone.stem_channels={len(given)}, or give others '
                f'({CONVERTER} makes some for 128).')
