# Copyright (c) mmseg_semi authors.
from .by_name import build_framework
from .cross_pseudo import CrossPseudo
from .fixmatch import FixMatch
from .framework import Framework
from .mean_teacher import MeanTeacher
from .semi_segmentor import SemiSegmentor

__all__ = [
    'CrossPseudo', 'FixMatch', 'Framework', 'MeanTeacher', 'SemiSegmentor',
    'build_framework'
]
