# Copyright (c) mmseg_semi authors.
"""Semi-supervised semantic segmentation for MMSegmentation 1.x."""
from .cli.loading import is_command, load
from .config_files import base, find_config, imported_classes
from .version import __version__

# Loading registers the components in mmseg's registries. The command-line
# tool loads them when it knows that it needs them.
if not is_command():
    load()

__all__ = [
    '__version__', 'base', 'datasets', 'engine', 'evaluation', 'find_config',
    'imported_classes', 'models'
]
