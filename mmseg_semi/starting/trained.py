# Copyright (c) mmseg_semi authors.
"""Trained models as they lie in a work directory."""
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmengine.config import Config

from ..datasets.paths import nearest
from ..engine.checkpoint import check_checkpoint
from ..engine.config_reading import read_config
from ..engine.hooks.run_record_hook import RECORD_NAME
from ..engine.trained_files import checkpoint_of, config_file


@dataclass(frozen=True)
class Trained:
    """A model that was trained.

    Attributes:
        name (str): For people.
        cfg (Config): Its config.
        checkpoint (str): The file of weights.
        iteration (int, optional): At which they were saved.
        folder (Path): Where log and scores of its training are.
        meta (dict): What the checkpoint says of its training.
    """
    name: str
    cfg: Config
    checkpoint: str
    iteration: int | None
    folder: Path
    meta: dict = field(default_factory=dict)


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
        if checkpoint is None and not folder.exists():
            raise FileNotFoundError(
                f'There is no work directory {place}. {nearest(place)}')
        if checkpoint is None:
            raise FileNotFoundError(
                f'{place} is no work directory. Give that of a training, or a '
                'config and its checkpoint (--checkpoints).')
        cfg = read_config(place)
        name, folder = Path(place).stem, Path(checkpoint).parent
    else:
        cfg = Config.fromfile(config_file(folder))
        name = folder.name
        checkpoint = checkpoint or checkpoint_of(folder, weights)
    meta = check_checkpoint(checkpoint).get('meta') or {}
    return Trained(name, cfg, str(checkpoint), meta.get('iter'), folder, meta)


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


def read_record(folder: Path) -> dict:
    """What a training that reached its end wrote down.

    Args:
        folder (Path): Its work directory.

    Returns:
        dict: ``record.json``; empty if there is none.

    Raises:
        ValueError: It is no JSON object; names the file.
    """
    path = folder / RECORD_NAME
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text('utf-8'))
    except ValueError as error:
        record = error
    if not isinstance(record, dict):
        raise ValueError(f'{path} is no record of a training ({record}). '
                         'Remove it: the comparison needs none.')
    return record
