# Copyright (c) mmseg_semi authors.
"""Semi-supervised semantic segmentation for MMSegmentation 1.x."""
from . import compat
from .config_files import base, find_config
from .version import __version__

# Before anything that imports mmseg: it would fail without compiled mmcv.
compat.install()

# Importing registers the components in mmseg's registries.
from . import datasets, engine, evaluation, models  # noqa: E402

__all__ = [
    '__version__', 'base', 'datasets', 'engine', 'evaluation', 'find_config',
    'models'
]
