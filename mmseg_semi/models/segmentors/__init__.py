# Copyright (c) mmseg_semi authors.
from .framework import Framework
from .mean_teacher import MeanTeacher
from .semi_segmentor import SemiSegmentor

__all__ = ['Framework', 'MeanTeacher', 'SemiSegmentor']
