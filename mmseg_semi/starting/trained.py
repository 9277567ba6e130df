# Copyright (c) mmseg_semi authors.
"""Trained models as they lie in a work directory."""
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config

from ..config_files import find_config
from ..engine.checkpoint import check_checkpoint, find_resumable_checkpoint

WEIGHTS = ('last', 'best')


@dataclass(frozen=True)
class Trained:
    """A model that was trained.

    Attributes:
        name (str): For people.
        cfg (Config): Its config.
        checkpoint (str): The file of weights.
        iteration (int, optional): At which they were saved.
        folder (Path): Where log and scores of its training are.
    """
    name: str
    cfg: Config
    checkpoint: str
    iteration: int | None
    folder: Path


def find_trained(place: str,
                 checkpoint: str | None = None,
                 weights: str = 'last') -> Trained:
    """Find a model.

    Args:
        place (str): Work directory of its training; with ``checkpoint``
            also a config.
        checkpoint (str, optional): The file. Defaults to None: by
            ``weights``.
        weights (str): ``last`` or ``best``: which checkpoint of the work
            directory. The best one was chosen by the very images that it is
            scored on. Defaults to ``last``.

    Raises:
        FileNotFoundError: There is no config, or no checkpoint.
        CheckpointError: The checkpoint is not whole, or not safe.
    """
    folder = Path(place)
    if not folder.is_dir():
        if checkpoint is None:
            raise FileNotFoundError(
                f'{place} is no work directory. Give that of a training, or a '
                'config and its checkpoint (--checkpoints).')
        cfg = Config.fromfile(find_config(place))
        name, folder = Path(place).stem, Path(checkpoint).parent
    else:
        cfg = Config.fromfile(_config_of(folder))
        name = folder.name
        checkpoint = checkpoint or _checkpoint_of(folder, weights)
    meta = check_checkpoint(checkpoint).get('meta') or {}
    return Trained(name, cfg, str(checkpoint), meta.get('iter'), folder)


def read_log(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Everything that a training logged.

    Args:
        folder (Path): Its work directory.

    Returns:
        dict: Name of a scalar -> iterations (N,) int64, increasing, and
        values (N,) float64. Of an iteration that was repeated after a resume
        the last value counts. Empty without a log.
    """
    found = {}
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in path.read_text('utf-8').splitlines():
            try:
                entry = json.loads(line)
            except ValueError:  # the end of a training that was killed
                continue
            step = entry.get('iter', entry.get('step'))
            for name, value in entry.items():
                if isinstance(value, (int, float)):
                    found.setdefault(name, {})[step] = value
    return {
        name: (np.array(sorted(points)),
               np.array([points[step] for step in sorted(points)], float))
        for name, points in found.items()
    }


def _config_of(folder: Path) -> Path:
    """The config that MMEngine wrote down at the latest start."""
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


def _checkpoint_of(folder: Path, weights: str) -> str:
    if weights == 'last':
        found = find_resumable_checkpoint(str(folder))
    else:
        best = sorted(folder.glob('best_*.pth'), key=_iteration_in_name)
        found = str(best[-1]) if best else None
    if found is None:
        raise FileNotFoundError(
            f'{folder} has no {weights} checkpoint: train it first, or give '
            'config and checkpoint (--checkpoints).')
    return found


def _iteration_in_name(path: Path) -> int:
    found = re.search(r'_(\d+)$', path.stem)
    return int(found[1]) if found else -1
