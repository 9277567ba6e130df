# Copyright (c) mmseg_semi authors.
"""The columns of a table of results: what they say of a row."""
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..datasets.splits import known_splits
from .tables import Row

NOTHING = '–'
NOT_RUN = 'not yet run'


class Column(NamedTuple):
    """A column.

    ``text`` gives the cell of a row; an ``optional`` column is left out
    where no row has anything to say.
    """
    name: str
    text: Callable[[Row], str]
    optional: bool = False


def mean_text(values: Sequence[float | None]) -> str:
    """Mean, and from two values on the standard deviation of a sample."""
    values = [value for value in values if value is not None]
    if not values:
        return NOTHING
    if len(values) == 1:
        return f'{values[0]:.2f}'
    return f'{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}'


def _sources(row: Row) -> list:
    return [outcome.source for outcome in row.outcomes.values()]


def _unique(values) -> str:
    texts = dict.fromkeys(str(value) for value in values if value is not None)
    return ', '.join(texts) or NOTHING


def _published(row: Row) -> str:
    return row.figure.text if row.figure else NOTHING


def _last(row: Row) -> str:
    if not row.outcomes:
        return NOT_RUN if row.runs else NOTHING
    return mean_text([outcome.last for outcome in row.outcomes.values()])


def _best(row: Row) -> str:
    return mean_text([outcome.best for outcome in row.outcomes.values()])


def _seeds(row: Row) -> str:
    return _unique(row.outcomes)


def _difference(row: Row) -> str:
    if row.difference is None:
        return NOTHING
    mean, low, high = row.difference
    return f'{mean:+.2f} [{low:+.2f}, {high:+.2f}]'


def _by_seed(row: Row) -> str:
    return ', '.join(f'{value:+.2f}' for value in row.by_seed) or NOTHING


def _evaluation(row: Row) -> str:
    return row.evaluation or (row.figure and row.figure.evaluation) or NOTHING


def _devices(row: Row) -> str:
    devices = []
    for source in _sources(row):
        name = (source['host'] or {}).get('gpu') or 'CPU'
        if source['world_size']:
            devices.append(f'{source["world_size"]} x {name}')
    return _unique(devices)


def _batch(row: Row) -> str:
    totals = [source.total_batch for source in _sources(row)]
    return _unique(' + '.join(map(str, total)) for total in totals if total)


def _seconds(row: Row) -> str:
    values = [source.seconds_per_iteration for source in _sources(row)]
    values = [value for value in values if value is not None]
    return f'{np.mean(values):.3f}' if values else NOTHING


def _minutes(row: Row) -> str:
    values = [source['seconds'] for source in _sources(row)]
    values = [value / 60 for value in values if value is not None]
    return f'{np.mean(values):.1f}' if values else NOTHING


def _memory(row: Row) -> str:
    peaks = [source['peak_memory_mb'] or {} for source in _sources(row)]
    peaks = [peak.get('gpu') or peak.get('host') for peak in peaks]
    peaks = [peak for peak in peaks if peak]
    return f'{max(peaks) / 1024:.1f}' if peaks else NOTHING


def _commit(row: Row) -> str:
    return _unique(source['commit'] for source in _sources(row))


def _list(row: Row) -> str:
    """The list that was used; the one that would be, where none was."""
    used = _unique(f'{source["split"]} {(source["split_sha256"] or "")[:8]}'
                   for source in _sources(row) if source['split'])
    if used != NOTHING:
        return used
    name = row.figure and row.figure.list
    if row.runs:
        dataset = row.runs[0].cfg.get('train_dataloader', {}).get('dataset')
        labeled = (dataset or {}).get('labeled') or {}
        name = Path(labeled.get('ann_file') or '').stem or name
    if not name:
        return NOTHING
    known = known_splits().get(name, {}).get('sha256') or ''
    return f'{name} {known[:8]}'.strip()


COLUMNS = (
    Column('protocol', lambda row: row.protocol),
    Column('method', lambda row: row.name),
    Column('published', _published, optional=True),
    Column('last mIoU', _last),
    Column('best mIoU', _best),
    Column('seeds', _seeds),
    Column('minus baseline', _difference, optional=True),
    Column('by seed', _by_seed, optional=True),
    Column('evaluation', _evaluation),
    Column('GPUs', _devices),
    Column('batch', _batch),
    Column('s/iter', _seconds),
    Column('minutes', _minutes),
    Column('GiB', _memory),
    Column('commit', _commit),
    Column('list', _list),
)


def make_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and cells of a table.

    Args:
        rows (Sequence[Row]): The filled rows.

    Returns:
        tuple[list[str], list[list[str]]]: Names of the columns, and for
        every row one text per column.
    """
    texts = [[column.text(row) for row in rows] for column in COLUMNS]
    kept = [
        i for i, column in enumerate(COLUMNS)
        if not column.optional or set(texts[i]) - {NOTHING}
    ]
    header = [COLUMNS[i].name for i in kept]
    return header, [[texts[i][j] for i in kept] for j in range(len(rows))]


def notes(rows: Sequence[Row], baseline: str | None) -> list[str]:
    """What a reader must know about the numbers."""
    texts = []
    if any(row.figure for row in rows):
        texts.append('Published: mIoU as the source prints it, found by its '
                     'id in configs/published.json. Compare it with "best": '
                     'most sources report the best of many validations.')
    sources = [source for row in rows for source in _sources(row)]
    if not sources:
        return texts
    if any(row.difference for row in rows):
        texts.append(
            f'Baseline: {baseline}; differences are in the last mIoU, each '
            'seed with the same seed of the baseline. In brackets: 95 % '
            'bootstrap interval over the validation images for these trained '
            'models; how other seeds would come out is not in it.')
    torch = _unique(
        (source['versions'] or {}).get('torch') for source in sources)
    threads = _unique(
        (source['host'] or {}).get('threads') for source in sources)
    dates = sorted(source['date'][:10] for source in sources)
    texts += [
        'Mean ± standard deviation over seeds. Batch: images of one iteration '
        'over all GPUs. s/iter: loading and step (older records: '
        'validation too). Minutes: wall time of one training, validation '
        f'included ({threads} thread(s), trainings may have run side by '
        'side). GiB: of the GPU, else of the main process.',
        f'Iterations {_unique(source["iterations"] for source in sources)}; '
        f'torch {torch}; {dates[0]} to {dates[-1]}.'
    ]
    return texts
