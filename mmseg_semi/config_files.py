# Copyright (c) mmseg_semi authors.
"""What configs refer to: files of this package, and imported data."""
import json
from difflib import get_close_matches
from pathlib import Path

PREFIX = 'mmseg_semi::'
_SUFFIXES = '.json', '.yaml', '.yml'
_PACKAGE = Path(__file__).resolve().parent


def configs_dir() -> Path:
    """The folder ``configs`` of the installed package or the checkout.

    Raises:
        FileNotFoundError: The package was copied without its configs.
    """
    for folder in (_PACKAGE / '.mim' / 'configs', _PACKAGE.parent / 'configs'):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f'mmseg_semi at {_PACKAGE} has no configs: install it with pip, from '
        'a checkout or a wheel.')


def base(name: str) -> str:
    """A base config of this package, for ``_base_`` of a config anywhere.

    Example:
        >>> _base_ = [__import__('mmseg_semi').base('methods/brpg.py')]

    Args:
        name (str): Path below ``configs/_base_``.

    Returns:
        str: Its absolute path.

    Raises:
        FileNotFoundError: There is none; the message names near ones.
    """
    return _existing(configs_dir() / '_base_', name)


def find_config(name: str) -> str:
    """Path of a config that may be given as ``mmseg_semi::folder/file.py``.

    Args:
        name (str): That, or a path, which is returned as it is.

    Raises:
        FileNotFoundError: This package has no such config.
    """
    name = str(name)
    if not name.startswith(PREFIX):
        return name
    return _existing(configs_dir(), name[len(PREFIX):])


def read_config(name: str):
    """Read a config, and say so if it is something else.

    Args:
        name (str): As :func:`find_config` takes it.

    Returns:
        Config: What it holds.

    Raises:
        FileNotFoundError: There is no such file, or it is a folder.
        ValueError: Its name is not that of a config.
    """
    from mmengine.config import Config

    from .datasets.paths import require
    path = find_config(name)
    if not path.endswith('.py'):  # MMEngine's own errors name missing ones
        require(path, 'config', False)
        if not path.endswith(_SUFFIXES):
            raise ValueError(f'config: {path} is none; the names of configs '
                             f'end with {", ".join((".py", *_SUFFIXES))}.')
    return Config.fromfile(path)


def imported_classes(folder: str) -> dict:
    """Names and colours of the classes of an import, for its ``metainfo``.

    For configs of data with many classes.

    Args:
        folder (str): What ``mmseg-semi import`` wrote.

    Returns:
        dict: ``classes``, ``palette``.

    Raises:
        FileNotFoundError: It wrote no such folder.
    """
    path = Path(folder) / 'classes.json'
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist: start in the folder that paths of the '
            'config are relative to, or import again with `mmseg-semi '
            'import`.')
    content = json.loads(path.read_text(encoding='utf-8'))
    return dict(classes=tuple(content['names']), palette=content['palette'])


def _existing(folder: Path, name: str) -> str:
    path = folder / name
    if path.is_file():
        return str(path)
    known = [p.relative_to(folder).as_posix() for p in folder.rglob('*.py')]
    near = get_close_matches(name, known) or sorted(
        k for k in known if k.startswith(f'{Path(name).parent.as_posix()}/'))
    raise FileNotFoundError(f'mmseg_semi has no config {name!r} in {folder}; '
                            f'near ones: {near[:10]}.')
