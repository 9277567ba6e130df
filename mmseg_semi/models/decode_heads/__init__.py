# Copyright (c) mmseg_semi authors.
from .cmb_deeplabv3plus_head import CMBDeepLabV3PlusHead
from .contrast_head import ContrastHead
from .deeplabv2_head import DeepLabV2Head
from .mask2former_query_head import Mask2FormerQueryHead
from .mask_query_head import MaskQueryHead
from .projection_head import ProjectionHead
from .prototype_head import PrototypeHead
from .published_deeplabv3plus_head import PublishedDeepLabV3PlusHead
from .published_fcn_head import PublishedFCNHead
from .query_head import QueryHead

__all__ = [
    'CMBDeepLabV3PlusHead', 'ContrastHead', 'DeepLabV2Head',
    'Mask2FormerQueryHead', 'MaskQueryHead', 'ProjectionHead', 'PrototypeHead',
    'PublishedDeepLabV3PlusHead', 'PublishedFCNHead', 'QueryHead'
]
