# Copyright (c) mmseg_semi authors.
"""The models of this package by the names in its metafiles."""
import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

import mmengine

from ..config_files import configs_dir


def list_models(pattern: str = '.*') -> list[str]:
    """Names of the models of this package.

    Args:
        pattern (str): Regular expression that a name begins with. Defaults
            to all.
    """
    return [name for name, _ in _entries() if re.match(pattern, name)]


def model_config(name: str) -> str | None:
    """The config of a model.

    Args:
        name (str): Of a metafile, such as ``brpg_r101_voc_366``; case does
            not matter.

    Returns:
        str | None: Path of the config; None if there is no such model here.
    """
    return next(
        (str(config)
         for known, config in _entries() if known.lower() == name.lower()),
        None)


def near_models(name: str) -> list[str]:
    """Names of models of this package that are spelled alike."""
    return get_close_matches(name, list_models(), cutoff=.5)


def _entries() -> Iterator[tuple[str, Path]]:
    """Name and config of every model."""
    root = configs_dir().parent
    for metafile in mmengine.load(root / 'model-index.yml')['Import']:
        for model in mmengine.load(root / metafile)['Models']:
            yield model['Name'], root / model['Config']
