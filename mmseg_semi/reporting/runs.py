# Copyright (c) mmseg_semi authors.
"""What work directories of trainings tell."""
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from mmengine.config import Config

from ..config_files import find_config
from ..datasets.paths import nearest
from ..engine.checkpoint import CheckpointError
from ..engine.hooks.run_record_hook import PER_IMAGE_NAME, RECORD_NAME
from ..engine.trained_files import WEIGHTS, config_file
from ..evaluation import PerImageAreas
from ..starting.comparison import has_unlabelled
from ..starting.health import Log
from ..starting.trained import Trained, find_trained, read_log

MOST_RUNS = 24
_FACTS_KEY = 'run_facts'


@dataclass
class Run:
    """A training and what is left of it.

    Attributes:
        name (str): For people; one name is one run of a report.
        folder (Path): Where log, record and scores are.
        cfg (Config, optional): Its config.
        config_text (str): The same as it was written down; may be empty.
        record (dict): Of :class:`.RunRecordHook`; empty where the training
            did not reach its end.
        log (Log): Of :func:`.read_log`; may be empty.
        trained (Trained, optional): Its model, if there is a checkpoint.
        areas (PerImageAreas, optional): Of all validation images, as its own
            last validation left them.
        areas_iteration (int, optional): When that was.
        missing (list[str]): What could not be read, as sentences.
    """
    name: str
    folder: Path
    cfg: Config | None = None
    config_text: str = ''
    record: dict = field(default_factory=dict)
    log: Log = field(default_factory=dict)
    trained: Trained | None = None
    areas: PerImageAreas | None = None
    areas_iteration: int | None = None
    missing: list[str] = field(default_factory=list)

    @property
    def facts(self) -> dict:
        """What it trained: of its record, else of its checkpoint."""
        meta = self.trained.meta if self.trained else {}
        return self.record or meta.get(_FACTS_KEY) or {}

    @property
    def iterations(self) -> tuple[int, int | None]:
        """The last iteration that is known, and the planned number."""
        last = [int(points[0].max()) for points in self.log.values()]
        last.append(self.record.get('iterations') or 0)
        if self.trained:
            last.append(self.trained.iteration or 0)
        planned = ((self.cfg or {}).get('train_cfg') or {}).get('max_iters')
        return max(last), planned or self.facts.get('max_iterations')

    @property
    def is_supervised(self) -> bool:
        """Whether it learned from labels alone, as far as is known."""
        if self.cfg is not None:
            return not has_unlabelled(self.cfg)
        return self.facts.get('unlabeled') == 0

    def as_trained(self) -> Trained:
        """For what needs a config and scores, though weights may be gone."""
        if self.trained is not None:
            return replace(self.trained, name=self.name)
        return Trained(self.name, self.cfg, '', self.areas_iteration,
                       self.folder)

    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Iterations (N,) and mIoU in percent (N,) of its validations."""
        return self.log.get('mIoU', (np.zeros(0, int), np.zeros(0)))


def read_runs(places: Sequence[str],
              checkpoints: Sequence[str | None] | None = None,
              weights: str = 'last') -> list[Run]:
    """Read several trainings.

    Args:
        places (Sequence[str]): Their work directories; with checkpoints also
            their configs.
        checkpoints (Sequence[str | None], optional): One for each.
        weights (str): ``last`` or ``best``, see :func:`.find_trained`.
            Defaults to ``last``.

    Returns:
        list[Run]: In this order, each under another name.

    Raises:
        ValueError: None or too many are given, or one of them twice.
        FileNotFoundError: See :func:`read_run`.
    """
    if not places:
        raise ValueError('No run is given: give the work directory of one '
                         'training or of several.')
    if len(places) > MOST_RUNS:
        raise ValueError(f'{len(places)} runs are too many to read in one '
                         f'page: give {MOST_RUNS} at most.')
    checkpoints = checkpoints or [None] * len(places)
    given = Counter((Path(place).resolve(), checkpoint)
                    for place, checkpoint in zip(places, checkpoints))
    twice = [place for (place, _), count in given.items() if count > 1]
    if twice:
        raise ValueError(f'{twice[0]} is given twice: give every run once.')
    runs = [
        read_run(place, checkpoint, weights)
        for place, checkpoint in zip(places, checkpoints)
    ]
    _name_apart(runs)
    return runs


def read_run(place: str,
             checkpoint: str | None = None,
             weights: str = 'last') -> Run:
    """Read a training, as far as it came.

    Args:
        place (str): Its work directory; with ``checkpoint`` also a config.
        checkpoint (str, optional): A file of weights. By default that which
            ``weights`` means.
        weights (str): ``last`` or ``best``. Defaults to ``last``.

    Returns:
        Run: Whatever is there; ``missing`` says what is not.

    Raises:
        FileNotFoundError: The place is not there, or no training left
            anything in it.
        CheckpointError: ``checkpoint`` is not one.
    """
    if weights not in WEIGHTS:
        raise ValueError(f'weights={weights!r} is none of {WEIGHTS}.')
    path = Path(place)
    if checkpoint is not None:  # what is named is used, or refused
        trained = find_trained(place, checkpoint, weights)
        run = Run(trained.name, trained.folder, trained=trained)
        config = find_config(place) if not path.is_dir() else None
    else:
        if not path.is_dir():
            raise FileNotFoundError(_no_folder(place))
        run, config = Run(path.resolve().name, path), None
    _read_config(run, config)
    run.log = read_log(run.folder)
    run.record = _read_record(run)
    if run.trained is None:
        _find_model(run, weights)
    _read_areas(run)
    # A lone script could be any: it is no sign of a training.
    if not (run.log or run.record or run.trained or run.areas):
        raise FileNotFoundError(
            f'{place} is not the work directory of a training: it has no log '
            f'(*/vis_data/scalars.json), no {RECORD_NAME} and no '
            f'{weights} checkpoint.')
    if not run.log:
        run.missing.append('There is no log (*/vis_data/scalars.json), so '
                           'there are no curves.')
    return run


def _no_folder(place: str) -> str:
    if Path(place).exists():
        return (f'{place} is a file. Give the work directory of a training, '
                'the folder that mmseg-semi train wrote into.')
    return (f'There is no folder {place}. {nearest(place)} Give the work '
            'directory of a training.')


def _read_config(run: Run, path: str | None) -> None:
    try:
        path = path or config_file(run.folder)
        run.cfg = Config.fromfile(path)
        run.config_text = Path(path).read_text('utf-8')
    except FileNotFoundError as error:
        run.missing.append(f'No config: {error}')
    except Exception as error:  # a config is a program: anything may happen
        run.missing.append(f'The config {path} cannot be read: '
                           f'{type(error).__name__}: {error}')


def _read_record(run: Run) -> dict:
    path = run.folder / RECORD_NAME
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text('utf-8'))
        if isinstance(record, dict):
            return record
        reason = f'it holds a {type(record).__name__}, not an object'
    except ValueError as error:
        reason = str(error)
    run.missing.append(f'{path} cannot be read: {reason}.')
    return {}


def _find_model(run: Run, weights: str) -> None:
    if run.cfg is None:
        return
    try:
        run.trained = find_trained(str(run.folder), weights=weights)
    except FileNotFoundError:
        run.missing.append(f'No weights, so nothing could be predicted: '
                           f'{run.folder} has no {weights} checkpoint.')
    except CheckpointError as error:
        run.missing.append(
            f'No weights, so nothing could be predicted: {error}')


def _read_areas(run: Run) -> None:
    """Those of a validation of the weights, or of no weights at all."""
    path = run.folder / PER_IMAGE_NAME
    if not path.is_file():
        return
    try:
        areas, iteration = PerImageAreas.load(path)
    except (ValueError, KeyError, OSError, EOFError) as error:
        run.missing.append(f'{path} cannot be read: {error}.')
        return
    if run.trained is None or run.trained.iteration == iteration:
        run.areas, run.areas_iteration = areas, iteration


def _name_apart(runs: Sequence[Run]) -> None:
    """Add as many folders as tell runs of one name apart."""
    rules: list[Callable[[Run], str]] = [
        lambda run: f'{run.folder.resolve().parent.name}/{run.name}',
        lambda run: str(run.folder)
    ]
    for rule in rules:
        count = Counter(run.name for run in runs)
        for run in [run for run in runs if count[run.name] > 1]:
            run.name = rule(run)
    for index, run in enumerate(runs, 1):
        if sum(other.name == run.name for other in runs) > 1:
            run.name = f'{run.name} ({index})'
