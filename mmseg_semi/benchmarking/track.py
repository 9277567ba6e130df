# Copyright (c) mmseg_semi authors.
"""Is a run on track? Its curves over those of its recipe, and a verdict."""
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ..engine.atomic import write_atomically
from .band import Departure, band, departures, points_of
from .causes import likely_causes
from .curves import (METRICS, Curve, LoggedRun, Reference, find_reference,
                     own_reference, read_run)

_TITLES = dict(
    loss='loss, mean over the epoch so far',
    kept='kept pseudo-labels, mean over the epoch so far',
    miou='mIoU (%)')
_WORDS = dict(loss='loss', kept='kept ratio', miou='mIoU')


def verdict(run: LoggedRun, reference: Reference, found: Sequence[Departure],
            causes: Sequence[str]) -> str:
    """What to tell the user.

    Args:
        run (LoggedRun): The run.
        reference (Reference): What it was compared with.
        found (Sequence[Departure]): Where it left the band.
        causes (Sequence[str]): What may be behind it.
    """
    epoch = run.max_iters / reference.epochs
    lines = [
        f'{run.work_dir}: iteration {run.last} of {run.max_iters}, compared '
        f'with {len(reference.curves)} run(s) of {reference.name}.'
    ]
    curve = run.curve(reference.epochs)
    if not found:
        seen = [_WORDS[name] for name in METRICS if name in curve.points]
        lines.append(f'On track so far: {", ".join(seen)} inside the band.')
    for departure in found:
        side = 'above' if departure.above else 'below'
        lines.append(
            f'Left the band by iteration {round(departure.epoch * epoch)}: '
            f'{_WORDS[departure.metric]} {departure.value:.3g} is {side} '
            f'{departure.edge:.3g}.')
    if causes:
        lines.append('Likely causes:'
                     if found else 'Inside the band, but not the recipe:')
        lines += [f'  - {cause}' for cause in causes]
    return '\n'.join(lines)


def draw(curve: Curve, reference: Reference, found: Sequence[Departure],
         title: str) -> bytes:
    """Draw a run over the runs of its recipe.

    Args:
        curve (Curve): The run, in epochs of the reference.
        reference (Reference): Drawn as thin lines with their band.
        found (Sequence[Departure]): Marked.
        title (str): Above everything.

    Returns:
        bytes: A PNG file.
    """
    figure = Figure((9, 9), layout='constrained')
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(len(METRICS), 1, sharex=True)
    for axis, metric in zip(axes, METRICS):
        _draw_metric(axis, curve, reference, metric)
        for departure in found:
            if departure.metric == metric:
                axis.axvline(departure.epoch, color='#d95f02', linestyle=':')
    axes[0].set_yscale('log')
    axes[0].legend(loc='upper right', fontsize=8)
    axes[-1].set_xlabel('epoch of the recipe')
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=110)
    return buffer.getvalue()


def _draw_metric(axis, curve: Curve, reference: Reference,
                 metric: str) -> None:
    axis.set_title(_TITLES[metric], fontsize=10)
    axis.grid(alpha=.3)
    known = [
        one.points[metric] for one in reference.curves if metric in one.points
    ]
    if known:
        epochs = np.unique(np.concatenate([points[0] for points in known]))
        low, high = band(reference, metric, epochs)
        axis.fill_between(
            epochs, low, high, color='#1f78b4', alpha=.15, label='band')
    for i, (epochs, values) in enumerate(known):
        axis.plot(
            epochs,
            values,
            color='#1f78b4',
            linewidth=.8,
            label=None if i else 'recipe')
    if metric in curve.points:
        epochs, values = points_of(curve, reference, metric)
        if not len(epochs):
            epochs, values = curve.points[metric]
        axis.plot(
            epochs,
            values,
            color='#d95f02',
            marker='.',
            markersize=4,
            label='this run')


def track(work_dir: Path,
          against: Sequence[Path] | None = None,
          recipe: str | None = None,
          out: Path | None = None) -> int:
    """Compare a run, print the verdict and write the picture.

    Args:
        work_dir (Path): Of the run.
        against (Sequence[Path], optional): Earlier runs to compare with,
            instead of published curves.
        recipe (str, optional): Published recipe to compare with.
        out (Path, optional): The picture. Defaults to ``track.png`` in the
            work directory.

    Returns:
        int: Exit status: 0 on track, 1 outside of the band.
    """
    run = read_run(work_dir)
    reference = (
        own_reference([read_run(path) for path in against])
        if against else find_reference(run, recipe))
    curve = run.curve(reference.epochs)
    found = departures(curve, reference, ours=not against)
    text = verdict(run, reference, found, likely_causes(run, reference, found))
    out = Path(out or Path(work_dir, 'track.png'))
    write_atomically(draw(curve, reference, found, text.split('\n')[0]), out)
    print(text)
    print(f'Drawn: {out}')
    return 1 if found else 0
