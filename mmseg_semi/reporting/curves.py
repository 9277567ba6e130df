# Copyright (c) mmseg_semi authors.
"""What trainings logged, run over run, and beside what others published."""
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from ..benchmarking.curves import (Curve, LoggedRun, Reference, TrackError,
                                   find_reference, published_references,
                                   read_run)
from ..benchmarking.published import nearest
from ..starting.health import Log
from ..starting.trained import read_log
from .charts import Line, line_chart, run_style
from .runs import Run

EARLIER = 'earlier'  # of the style sheet
PUBLISHED = 'published'
_POINTS = 150_000  # of all lines of a page
_MOST_OPEN = 9  # charts of a group before the rest is folded
_MOST = 60
_HEALTH = ('pseudo/', 'proto/', 'bank/', 'gate/', 'teacher/')
_SCORES = ('mIoU', 'aAcc', 'mAcc', 'mDice', 'mFscore', 'mPrecision', 'mRecall')
_WIDE = ('losses', 'rates')  # of many decades
_AXES = ('iter', 'step', 'epoch')
_TITLES = dict(
    miou='mIoU in %',
    loss='loss, mean over the epoch so far',
    kept='kept share of pseudo-labels, mean over the epoch so far')


class Chart(NamedTuple):
    """A chart with its title."""
    title: str
    svg: Markup


class Group(NamedTuple):
    """Charts that belong together.

    Attributes:
        title (str): For people.
        charts (list[Chart]): To be seen at once.
        more (list[Chart]): To be folded.
        left_out (list[str]): Names of what there was no room for.
    """
    title: str
    charts: list[Chart]
    more: list[Chart]
    left_out: list[str]


class Others(NamedTuple):
    """What runs are drawn over.

    Attributes:
        earlier (list[tuple[str, Log]]): Own trainings.
        published (list[Reference]): Recipes.
    """
    earlier: list[tuple[str, Log]]
    published: list[Reference]


def read_others(names: Sequence[str]) -> Others:
    """Find what runs shall be compared with.

    Args:
        names (Sequence[str]): Work directories, recipes with published
            curves, or methods of which there is one such recipe.

    Returns:
        Others: What they mean.

    Raises:
        TrackError: A name is none of these, is of several recipes, or a work
            directory has no log; says which there are.
    """
    found = Others([], [])
    for name in names:
        path = Path(name)
        if path.is_dir():
            log = read_log(path)
            if not log:
                raise TrackError(
                    f'--with: {name} holds no log of a training '
                    '(*/vis_data/scalars.json). Give the work directory of '
                    'one.')
            found.earlier.append((path.resolve().name, log))
        else:
            found.published.append(_recipe(name))
    return found


def _recipe(name: str) -> Reference:
    known = published_references()
    if name in known:
        return known[name]
    same = [key for key, one in known.items() if one.facts['method'] == name]
    if len(same) == 1:
        return known[same[0]]
    if same:
        raise TrackError(f'--with: {len(same)} recipes of {name} have '
                         f'published curves. Name one: {", ".join(same)}.')
    raise TrackError(
        f'--with: {name} is neither a folder nor a recipe with published '
        f'curves. Nearest recipes: {", ".join(nearest(name, known))}.')


def curve_groups(
    runs: Sequence[Run], earlier: Sequence[tuple[str,
                                                 Log]] = ()) -> list[Group]:
    """Everything that was logged.

    Args:
        runs (Sequence[Run]): One colour each, in their order.
        earlier (Sequence[tuple[str, Log]]): Drawn in grey below them.

    Returns:
        list[Group]: ``scores``, ``losses``, ``rates``, ``health`` and
        ``other``, in this order; those that anything was logged of.
    """
    names: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for run in runs for name in run.log):
        if name not in _AXES:
            names.setdefault(_group_of(name), []).append(name)
    count = sum(map(len, names.values())) * (len(runs) + len(earlier))
    most = int(np.clip(_POINTS / max(count, 1), 30, 240))
    order = ('scores', 'losses', 'rates', 'health', 'other')
    return [
        _group(title, sorted(names[title], key=_place), runs, earlier, most)
        for title in order if title in names
    ]


def _group_of(name: str) -> str:
    if name in _SCORES:
        return 'scores'
    if 'loss' in name.rsplit('.')[-1]:
        return 'losses'
    if name.rsplit('/')[-1].endswith('lr'):
        return 'rates'
    return 'health' if name.startswith(_HEALTH) else 'other'


def _place(name: str) -> tuple:
    """The whole before its parts: mIoU, loss, lr."""
    return name not in ('mIoU', 'loss', 'lr'), name


def _group(title: str, names: list[str], runs: Sequence[Run],
           earlier: Sequence[tuple[str, Log]], most: int) -> Group:
    charts = []
    for name in names[:_MOST]:
        lines = [
            Line(label, EARLIER, *log[name]) for label, log in earlier
            if name in log
        ]
        lines += [
            Line(run.name, run_style(i), *run.log[name])
            for i, run in enumerate(runs) if name in run.log
        ]
        charts.append(
            Chart(name, line_chart(name, lines, most, log=title in _WIDE)))
    return Group(title, charts[:_MOST_OPEN], charts[_MOST_OPEN:],
                 names[_MOST:])


def published_groups(runs: Sequence[Run],
                     wanted: Sequence[Reference]) -> list[Group]:
    """Runs over the published curves of their recipes.

    Args:
        runs (Sequence[Run]): The runs.
        wanted (Sequence[Reference]): Recipes to compare all runs with. If
            empty, each with that of its own method, network and labelled
            list, where curves of it were published.

    Returns:
        list[Group]: One for each recipe, in epochs of the recipe.
    """
    logged = {}
    for index, run in enumerate(runs):
        try:
            logged[index] = read_run(run.folder)
        except (TrackError, OSError, SyntaxError, AttributeError):
            continue  # no log or no config: the page says so elsewhere
    found = {one.name: (one, list(logged)) for one in wanted}
    for index, run in () if wanted else logged.items():
        try:
            reference = find_reference(run)
        except TrackError:
            continue
        found.setdefault(reference.name, (reference, []))[1].append(index)
    return [
        _published(reference, {i: logged[i]
                               for i in indices}, runs)
        for reference, indices in found.values()
    ]


def _published(reference: Reference, logged: dict[int, LoggedRun],
               runs: Sequence[Run]) -> Group:
    own = {i: run.curve(reference.epochs) for i, run in logged.items()}
    charts = []
    for metric, title in _TITLES.items():
        lines = [
            Line(f'{reference.name}, {curve.name}', PUBLISHED,
                 *curve.points[metric]) for curve in reference.curves
            if metric in curve.points
        ]
        lines += [
            Line(runs[i].name, run_style(i), *curve.points[metric])
            for i, curve in own.items() if _has(curve, metric)
        ]
        if lines:
            charts.append(
                Chart(title, line_chart(title, lines, log=metric == 'loss')))
    return Group(reference.name, charts, [], [])


def _has(curve: Curve, metric: str) -> bool:
    return metric in curve.points and len(curve.points[metric][0]) > 0
