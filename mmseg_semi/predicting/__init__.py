# Copyright (c) mmseg_semi authors.
"""Predicting images, folders of them, and images of any size."""
from .folder import FolderReport, Predicted, predict_folder
from .images import Skipped, find_images
from .predictor import Prediction, Predictor

__all__ = [
    'FolderReport', 'Predicted', 'Prediction', 'Predictor', 'Skipped',
    'find_images', 'predict_folder'
]
