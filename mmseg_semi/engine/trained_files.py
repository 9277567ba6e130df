# Copyright (c) mmseg_semi authors.
"""The config and the weights that people mean by a work directory."""
import re
from pathlib import Path

from ..datasets.paths import nearest
from .checkpoint import find_resumable_checkpoint

# Which checkpoint of a work directory.
WEIGHTS = ('last', 'best')
_WEIGHTS_ENDINGS = ('.pth', '.pt', '.ckpt', '.safetensors')


def model_files(place: str, checkpoint: str | None = None) -> tuple[str, str]:
    """The config and the weights of a trained model.

    Args:
        place (str): Config file, ``mmseg_semi::NAME``, or the work directory
            of a training.
        checkpoint (str, optional): Path or URL; of a work directory also
            ``last`` (what None means) or ``best``.

    Returns:
        tuple[str, str]: Config and checkpoint. Outside of a work directory
        they are as given; whether they exist is for the reader to see.

    Raises:
        FileNotFoundError: There is no such work directory, or it has no
            config or no checkpoint.
        ValueError: A checkpoint is given in the place of the config, or none
            where one is needed.
    """
    if place.endswith(_WEIGHTS_ENDINGS):
        raise ValueError(_no_config(Path(place)))
    by_name = checkpoint is None or checkpoint in WEIGHTS
    if Path(place).is_dir():
        config = str(config_file(Path(place)))
        if by_name:
            checkpoint = checkpoint_of(Path(place), checkpoint or 'last')
        return config, checkpoint
    if not by_name:
        return place, checkpoint
    if not Path(place).exists():
        raise FileNotFoundError(
            f'There is no work directory {place}. {nearest(place)}')
    raise ValueError(
        f'{place} is no work directory of a training, so there is no '
        f'{checkpoint or "last"} checkpoint to find: give the file.')


def model_name(place: str) -> str:
    """What a trained model is called: its work directory or its config.

    Args:
        place (str): Of :func:`model_files`.
    """
    path = Path(place)
    return path.resolve().name if path.is_dir() else path.stem


def config_file(folder: Path) -> Path:
    """The config that MMEngine wrote down at the latest start.

    Args:
        folder (Path): A work directory.

    Raises:
        FileNotFoundError: It has none, or several and none of them is known
            to be that of the training.
    """
    dumped = sorted(folder.glob('*/vis_data/config.py'))
    if dumped:
        return dumped[-1]
    beside = sorted(folder.glob('*.py'))
    if len(beside) != 1:
        raise FileNotFoundError(
            f'{folder} holds {len(beside)} configs, not one: it is not the '
            'work directory of one training. Give a config and its checkpoint '
            'instead.')
    return beside[0]


def checkpoint_of(folder: Path, weights: str) -> str:
    """A checkpoint of a work directory.

    Args:
        folder (Path): The work directory.
        weights (str): Of ``WEIGHTS``.

    Raises:
        FileNotFoundError: It has none.
    """
    if weights == 'last':
        found = find_resumable_checkpoint(str(folder))
    else:
        best = sorted(folder.glob('best_*.pth'), key=_iteration_in_name)
        found = str(best[-1]) if best else None
    if found is None:
        raise FileNotFoundError(f'{folder} has no {weights} checkpoint: train '
                                'it first, or give the file of weights.')
    return found


def _iteration_in_name(path: Path) -> int:
    found = re.search(r'_(\d+)$', path.stem)
    return int(found[1]) if found else -1


def _no_config(path: Path) -> str:
    text = (f'{path} is a file of weights; its config comes first. Weights do '
            'not say which model they are of: ')
    if any(path.parent.glob('*/vis_data/config.py')):
        return (f'{text}the work directory {path.parent} does, so give that '
                f'in place of the config and then {path}.')
    return (f'{text}give the config of its training, or the work directory '
            'of it.')
