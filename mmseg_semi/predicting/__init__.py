# Copyright (c) mmseg_semi authors.
"""Predicting images, folders of them, and images of any size."""
from .predictor import Prediction, Predictor

__all__ = ['Prediction', 'Predictor']
