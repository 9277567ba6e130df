# Copyright (c) mmseg_semi authors.
from .bands import LoadBands
from .evaluation import PadCenterCrop
from .formatting import InitValidMap, MultiBranch, PackSemiInputs
from .geometric import (RandomLongSideResize, RandomPadCrop, RandomShift,
                        RandomTwoSidedResize)
from .loading import LoadStrictAnnotations, LoadStrictImage
from .photometric import (RandomGaussianBlur, SemiColorJitter, SemiGrayscale,
                          SemiPhotoMetricDistortion)

__all__ = [
    'InitValidMap', 'LoadBands', 'LoadStrictAnnotations', 'LoadStrictImage',
    'MultiBranch', 'PackSemiInputs', 'PadCenterCrop', 'RandomGaussianBlur',
    'RandomLongSideResize', 'RandomPadCrop', 'RandomShift',
    'RandomTwoSidedResize', 'SemiColorJitter', 'SemiGrayscale',
    'SemiPhotoMetricDistortion'
]
