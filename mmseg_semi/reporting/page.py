# Copyright (c) mmseg_semi authors.
"""Everything about some runs in one HTML file."""
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..engine.atomic import write_atomically
from ..evaluation import PerImageAreas
from ..starting.scoring import Track, validation_meta
from ..version import __version__
from .charts import run_style
from .curves import Others, curve_groups, published_groups, read_others
from .differences import config_differences
from .facts import environment_rows, summary_row
from .gate import read_gate
from .notices import logged_warnings, notices
from .pictures import BUDGET, draw_rows
from .predictions import Predictions, predict_validation
from .runs import Run, read_runs
from .scores import Scored, class_tables, confusion, css_colour, pairs, score

MARK = '<meta name="generator" content="mmseg_semi report">'
_LONGEST_CONFIG = 100_000  # characters
_MOST_DIFFERENCES = 120
_MOST_LEGEND = 25  # classes beside pictures


def _untracked(items, text):
    return items


def write_report(places: Sequence[str],
                 out: str | Path,
                 *,
                 others: Sequence[str] = (),
                 checkpoints: Sequence[str | None] | None = None,
                 weights: str = 'last',
                 images: int | None = None,
                 force: bool = False,
                 track: Track = _untracked) -> dict:
    """Write one HTML file about trainings; it needs no other file.

    What cannot be computed is said in the page.

    Args:
        places (Sequence[str]): Work directories, see :func:`.read_runs`.
        out (str | Path): The file. Another report is replaced.
        others (Sequence[str]): What to draw the runs over, see
            :func:`.read_others`.
        checkpoints (Sequence[str | None], optional): See :func:`.read_runs`.
        weights (str): ``last`` or ``best``. Defaults to ``last``.
        images (int, optional): Validation images to predict at most, evenly
            spaced over the list; 0 predicts none. By default all.
        force (bool): Replace a file that is no report. Defaults to False.
        track (Track): Shows progress.

    Returns:
        dict: ``report`` (path), ``bytes``, ``runs`` (rows of the summary) and
        ``notices`` (name of a run -> sentences), plain data.

    Raises:
        FileExistsError: ``out`` is something else than a report.
        FileNotFoundError: See :func:`.read_runs`.
        TrackError: See :func:`.read_others`.
        ValueError: See :func:`.read_runs`.
    """
    check_replaceable(out, force)
    runs = read_runs(places, checkpoints, weights)
    content = collect(runs, read_others(others), images, track)
    data = render(content).encode()
    write_atomically(data, out)
    rows = [
        dict({
            k: v
            for k, v in row.items() if k != 'style'
        },
             miou=row['miou'] and row['miou']._asdict())
        for row in content['summary']
    ]
    return dict(
        report=str(out),
        bytes=len(data),
        runs=rows,
        notices={one['name']: one['notices']
                 for one in content['notices']})


def check_replaceable(out: str | Path, force: bool = False) -> None:
    """Refuse to write over what is no report.

    Args:
        out (str | Path): Where a report shall be written.
        force (bool): Do not refuse. Defaults to False.

    Raises:
        FileExistsError: There is a file that is no report.
        IsADirectoryError: It is a folder.
    """
    path = Path(out)
    if path.is_dir():
        raise IsADirectoryError(f'{out} is a folder. Give the name of an HTML '
                                f'file, {path / "report.html"} for instance.')
    if force or not path.exists():
        return
    with open(path, 'rb') as file:
        begin = file.read(1000)
    if MARK.encode() not in begin:
        raise FileExistsError(
            f'{out} is there and is no report of ours. Choose another name, '
            'or replace it with --force.')


def render(content: dict) -> str:
    """Fill the template.

    Args:
        content (dict): Of :func:`collect`.

    Returns:
        str: The whole HTML file; every text in it is escaped.
    """
    environment = Environment(
        loader=PackageLoader('mmseg_semi.reporting'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True)
    environment.filters['style'] = run_style
    return environment.get_template('report.html.j2').render(content)


def collect(runs: Sequence[Run],
            others: Others = Others([], []),
            images: int | None = None,
            track: Track = _untracked) -> dict:
    """Compute everything that the page shows.

    Args:
        runs (Sequence[Run]): One or more.
        others (Others): What to draw them over.
        images (int, optional): See :func:`write_report`.
        track (Track): Shows progress.

    Returns:
        dict: What the template takes.
    """
    # Reasons why something is not in the page, by run.
    gaps: list[list[str]] = [[] for _ in runs]
    predictions = [
        _predict(run, images, track, gap) for run, gap in zip(runs, gaps)
    ]
    areas = [
        run.areas if run.areas is not None else found and found.areas
        for run, found in zip(runs, predictions)
    ]
    scored = [
        _score(run, one, gap) for run, one, gap in zip(runs, areas, gaps)
    ]
    blocks = _pictures(runs, predictions, scored, gaps)
    gates = _gates(runs, gaps)
    configs = [run for run in runs if run.cfg is not None]
    differences = config_differences([run.cfg for run in configs])
    return dict(
        mark=MARK,
        version=__version__,
        written=datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
        runs=runs,
        earlier=[name for name, _ in others.earlier],
        summary=[
            summary_row(i, run, one)
            for i, (run, one) in enumerate(zip(runs, scored))
        ],
        notices=[
            dict(
                style=run_style(i),
                name=run.name,
                notices=notices(run) + gap,
                logged=logged_warnings(run))
            for i, (run, gap) in enumerate(zip(runs, gaps))
        ],
        pairs=pairs(runs, areas),
        groups=curve_groups(runs, others.earlier),
        published=published_groups(runs, others.published),
        tables=class_tables(runs, scored),
        confusions=[
            dict(
                confusion(found, one.classes, run.name),
                style=run_style(i),
                images=len(found.indices),
                total=found.total)
            for i, (run, found,
                    one) in enumerate(zip(runs, predictions, scored))
            if found and one
        ],
        gates=gates,
        blocks=blocks,
        environment=environment_rows(runs),
        configs=[dict(name=run.name, text=_cut(run)) for run in runs],
        compared=[run.name for run in configs],
        differences=differences[:_MOST_DIFFERENCES],
        more_differences=max(0,
                             len(differences) - _MOST_DIFFERENCES))


def _predict(run: Run, images: int | None, track: Track,
             gaps: list[str]) -> Predictions | None:
    if images == 0:
        gaps.append('No image was predicted, as was asked for: there is no '
                    'confusion and there are no images to look at.')
    has_images = run.cfg is not None and run.cfg.get('val_dataloader')
    if images == 0 or run.trained is None or not has_images:
        return None
    try:
        return predict_validation(run.trained, images, track)
    except Exception as error:  # data that are not here raise anything
        gaps.append('The validation images cannot be predicted, so there is '
                    'no confusion and there are no images to look at: '
                    f'{type(error).__name__}: {error}')
        return None


def _score(run: Run, areas: PerImageAreas | None,
           gaps: list[str]) -> Scored | None:
    if areas is None or run.cfg is None:
        return None
    try:
        return score(areas, validation_meta(run.as_trained()))
    except Exception as error:  # a data set of the user raises anything
        gaps.append('There are no intervals and no IoU by class: '
                    f'{type(error).__name__}: {error}')
        return None


def _pictures(runs: Sequence[Run], predictions: Sequence[Predictions | None],
              scored: Sequence[Scored | None],
              gaps: list[list[str]]) -> list[dict]:
    """Every run has its share of the room."""
    known = [i for i, found in enumerate(predictions) if found and scored[i]]
    blocks = []
    for i in known:
        rows, left_out = draw_rows(runs[i], predictions[i], scored[i].palette,
                                   BUDGET // len(known))
        if left_out:
            gaps[i].append(f'There was no room for {left_out} of its images.')
        names, palette = scored[i].classes, scored[i].palette
        blocks.append(
            dict(
                name=runs[i].name,
                style=run_style(i),
                rows=rows,
                legend=[(name, css_colour(colour))
                        for name, colour in zip(names, palette)]
                if len(names) <= _MOST_LEGEND else []))
    return blocks


def _gates(runs: Sequence[Run], gaps: list[list[str]]) -> list:
    found = []
    for run, gap in zip(runs, gaps):
        if run.record.get('gate') is None:
            continue
        try:
            found.append(read_gate(run.name, run.record['gate']))
        except ValueError as error:
            gap.append(str(error))
    return found


def _cut(run: Run) -> str:
    text = run.config_text
    if len(text) <= _LONGEST_CONFIG:
        return text
    return (f'{text[:_LONGEST_CONFIG]}\n# {len(text) - _LONGEST_CONFIG} more '
            'characters were left out.')
