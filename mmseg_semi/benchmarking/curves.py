# Copyright (c) mmseg_semi authors.
"""How runs went: published curves, and those that a work directory holds."""
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmengine.config import Config

from ..datasets.splits import known_splits
from ..engine.hooks.run_record_hook import RECORD_NAME
from .published import nearest
from .run_facts import facts_of

PUBLISHED_CURVES = Path(__file__).with_name('published_curves.json')
METRICS = ('loss', 'kept', 'miou')
_LOGGED = {'loss': 'loss', 'kept': 'pseudo/keep_ratio'}


class TrackError(ValueError):
    """A run that cannot be followed; the message says why."""


@dataclass
class Curve:
    """How one run went.

    Args:
        name (str): What people call it.
        points (dict[str, tuple[np.ndarray, np.ndarray]]): Metric -> epochs
            (N,), increasing, and values (N,). ``loss`` and ``kept`` are means
            over the epoch so far, as UniMatch prints them; ``miou`` is in
            percent.
    """
    name: str
    points: dict

    def at(self, metric: str, epochs: np.ndarray) -> np.ndarray:
        """Values at ``epochs``; NaN beyond what was measured."""
        if metric not in self.points:
            return np.full(len(epochs), np.nan)
        known, values = self.points[metric]
        return np.interp(epochs, known, values, left=np.nan, right=np.nan)


@dataclass
class Reference:
    """What a run is compared with.

    Args:
        name (str): The recipe, or what the earlier runs are.
        facts (dict): What the recipe is, see :func:`facts_of`.
        epochs (float): Length of the training.
        curves (list[Curve]): One or more runs of it.
    """
    name: str
    facts: dict
    epochs: float
    curves: list = field(default_factory=list)


@dataclass
class LoggedRun:
    """A training with everything that its work directory tells.

    Args:
        work_dir (Path): The directory.
        method (str): First part of the name of its config.
        facts (dict): What it trained, see :func:`facts_of`.
        max_iters (int): Length of the training.
        scalars (list[dict]): Entries of the log, in order.
        record (dict): Its record, empty while it is not complete.
    """
    work_dir: Path
    method: str
    facts: dict
    max_iters: int
    scalars: list
    record: dict

    @property
    def last(self) -> int:
        """The last iteration that was logged."""
        return max(
            (entry['iter'] for entry in self.scalars if 'iter' in entry),
            default=0)

    def curve(self, epochs: float) -> Curve:
        """Its curve, where the whole training counts as ``epochs``.

        Args:
            epochs (float): Those of what it is compared with.
        """
        scale = epochs / self.max_iters
        points = {}
        for metric, key in _LOGGED.items():
            logged = [(entry['iter'] * scale, entry[key])
                      for entry in self.scalars
                      if 'iter' in entry and key in entry]
            if logged:
                points[metric] = _means_over_epochs(*np.array(logged).T)
        scores = {
            entry['step'] * scale: entry['mIoU']
            for entry in self.scalars
            if 'mIoU' in entry and entry['mIoU'] is not None
        }
        if scores:
            points['miou'] = (np.array(sorted(scores)),
                              np.array([scores[e] for e in sorted(scores)]))
        return Curve(self.work_dir.name, points)


def _means_over_epochs(epochs: np.ndarray,
                       values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each value and those before it in the same epoch.

    What is logged at the end of an epoch belongs to that epoch.
    """
    number = np.ceil(epochs - 1e-9)
    means = np.empty_like(values)
    for epoch in np.unique(number):
        inside = number == epoch
        means[inside] = np.cumsum(values[inside]) / np.arange(
            1,
            inside.sum() + 1)
    return epochs, means


def read_run(work_dir: Path) -> LoggedRun:
    """Read what a training left so far.

    Args:
        work_dir (Path): Its ``--work-dir``.

    Raises:
        TrackError: If no training logged anything there.
    """
    work_dir = Path(work_dir)
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    logs = [path for path in logs if path.with_name('config.py').is_file()]
    scalars: list = []
    for path in logs:  # a training that was resumed has a log for each part
        entries = _entries(path)
        first = min((entry['iter'] for entry in entries if 'iter' in entry),
                    default=None)
        if first is not None:
            scalars = [
                entry for entry in scalars if entry.get('step', 0) < first
            ]
        scalars += entries
    if not any('iter' in entry for entry in scalars):
        raise TrackError(
            f'{work_dir} holds no log of a training '
            '(*/vis_data/scalars.json). Give the --work-dir of one.')
    cfg = Config.fromfile(str(logs[-1].with_name('config.py')))
    record = work_dir / RECORD_NAME
    record = json.loads(record.read_text()) if record.is_file() else {}
    names = [path.stem for path in sorted(work_dir.glob('*.py'))]
    stem = Path(record.get('config') or (names or ['?'])[0]).stem
    return LoggedRun(work_dir,
                     stem.split('_')[0], facts_of(cfg, record),
                     cfg.train_cfg.max_iters, scalars, record)


def _entries(path: Path) -> list[dict]:
    """Lines of a log; the last one may be on its way."""
    found = []
    for line in path.read_text('utf-8').split('\n')[:-1]:
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise TrackError(f'{path} is broken: {error}. Remove the line '
                             f'{line[:60]!r}.') from error
    return found


def published_references() -> dict[str, Reference]:
    """Recipe -> its published runs."""
    content = json.loads(PUBLISHED_CURVES.read_text('utf-8'))
    references = {}
    for name, recipe in content['recipes'].items():
        facts = {key: recipe[key] for key in recipe if key != 'runs'}
        reference = Reference(name, facts, recipe['epochs'])
        for run in recipe['runs']:
            points = {
                metric: (np.array(run[axis],
                                  float), np.array(run[metric], float))
                for metric, axis in (('loss', 'epoch'), ('kept', 'epoch'),
                                     ('miou', 'miou_epoch')) if metric in run
            }
            reference.curves.append(Curve(run['run'], points))
        references[name] = reference
    return references


def find_reference(run: LoggedRun, recipe: str | None = None) -> Reference:
    """The published curves of the recipe of a run.

    Args:
        run (LoggedRun): The run; method, network and labelled list decide.
        recipe (str, optional): Take this one.

    Raises:
        TrackError: If there is none; names those that look like it.
    """
    references = published_references()
    if recipe is not None:
        if recipe in references:
            return references[recipe]
        raise TrackError(
            f'There are no published curves of {recipe!r}. Nearest: '
            f'{", ".join(nearest(recipe, references))}.')
    # Configs of the paper's own protocol are marked so.
    method = run.method.removesuffix('-own')
    for reference in references.values():
        facts = reference.facts
        if (facts['method'] == method
                and facts['network'] == run.facts.get('network')
                and same_list(facts['list'], run.facts.get('list'))):
            return reference
    wanted = (f'{run.method}_{run.facts.get("network")}, list '
              f'{run.facts.get("list")}')
    raise TrackError(
        f'There are no published curves of this recipe ({wanted}). Compare '
        'with your own earlier runs (--against WORK_DIR...), or with a '
        'recipe near it (--recipe NAME): '
        f'{", ".join(nearest(run.method, references))}.')


def own_reference(runs: list[LoggedRun]) -> Reference:
    """Earlier runs as a reference.

    Raises:
        TrackError: If they differ in length.
    """
    lengths = {run.max_iters for run in runs}
    if len(lengths) > 1:
        raise TrackError(
            'The earlier runs are of different lengths, '
            f'{sorted(lengths)} iterations. Give runs of one setting.')
    # An "epoch" here is a hundredth of the training.
    return Reference(', '.join(run.work_dir.name for run in runs),
                     dict(runs[0].facts), 100.,
                     [run.curve(100.) for run in runs])


def same_list(one: str | None, other: str | None) -> bool:
    """Whether two names are of the same images."""
    if one is None or other is None:
        return False
    hashes = [
        known_splits().get(name, {}).get('sha256') for name in (one, other)
    ]
    return one == other or (hashes[0] is not None and hashes[0] == hashes[1])
