# Copyright (c) mmseg_semi authors.
from typing import Sequence

from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from torch import Tensor, nn

from .initial_weights import DrawnWeights


@MODELS.register_module()
class DeepLabV2Head(DrawnWeights, BaseDecodeHead):
    """DeepLabV2's classifier: a sum of dilated 3x3 convolutions.

    AdvSemiSeg, ClassMix and CMB create the four branches of the paper but
    sum two of them; all their numbers stand on
    that. Parameters are named as in their checkpoints (``layer5``).

    Both taps, ``decoder`` and ``pre_cls``, are the backbone's map.

    Args:
        in_channels (int): Channels of the backbone's last map.
        aspp_branches (int): How many of the branches are summed: 2 as in the
            published numbers, 4 as in DeepLabV2's paper. Defaults to 2.
        dilations (Sequence[int]): Dilations of the branches. Defaults to
            (6, 12, 18, 24).
        init (str): The law of the initial weights, see
            :class:`~.initial_weights.DrawnWeights`. Defaults to ``normal``,
            as in the official code.
        init_cfg (dict, optional): Comes after the law. Defaults to None.
        **kwargs: ``num_classes``, ``in_index`` and the others of
            :class:`BaseDecodeHead`. There is no dropout.
    """
    feature_taps = dict.fromkeys(('decoder', 'pre_cls'), 'conv2d_list.0:input')

    def __init__(self,
                 in_channels: int,
                 aspp_branches: int = 2,
                 dilations: Sequence[int] = (6, 12, 18, 24),
                 **kwargs) -> None:
        if not 1 <= aspp_branches <= len(dilations):
            raise ValueError(
                f'DeepLabV2Head: aspp_branches={aspp_branches} must be '
                f'between 1 and the number of dilations {tuple(dilations)}: 2 '
                'as in the published numbers, 4 as in the paper of DeepLabV2.')
        defaults = dict(align_corners=True, init='normal', init_cfg=None)
        kwargs = {**defaults, **kwargs, 'dropout_ratio': 0}
        super().__init__(in_channels, channels=in_channels, **kwargs)
        del self.conv_seg
        self.conv2d_list = nn.ModuleList(
            nn.Conv2d(
                in_channels, self.out_channels, 3, padding=d, dilation=d)
            for d in dilations[:aspp_branches])

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Logits (B, C, h, w) at the stride of the backbone's map."""
        x = self._transform_inputs(inputs)
        return sum(branch(x) for branch in self.conv2d_list)
