# Copyright (c) mmseg_semi authors.
from .prototype_head import PrototypeHead
from .published_deeplabv3plus_head import PublishedDeepLabV3PlusHead

__all__ = ['PrototypeHead', 'PublishedDeepLabV3PlusHead']
