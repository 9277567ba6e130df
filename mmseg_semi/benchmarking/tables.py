# Copyright (c) mmseg_semi authors.
"""Tables of results: which rows, their numbers, and how they are printed."""
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rich.table import Table

from ..evaluation.bootstrap import (Difference, paired_difference,
                                    resampled_miou)
from ..evaluation.per_image_iou import PerImageAreas
from .runs import PlannedRun

HEADER = ('labels', 'method', 'seeds', 'last mIoU', 'best mIoU',
          'minus baseline', 'by seed', 'minutes')


@dataclass
class Row:
    """One method at one number of labels.

    Args:
        labels (int): Labelled images.
        name (str): The method.
        runs (list[PlannedRun]): One per seed.
        records (dict[int, dict]): Seed -> record, of the finished ones.
        difference (Difference, optional): To the baseline, in ``last``.
        by_seed (list[float]): The same for each seed.
    """
    labels: int
    name: str
    runs: list[PlannedRun]
    records: dict = field(default_factory=dict)
    difference: Difference | None = None
    by_seed: list = field(default_factory=list)


class TableSpec:
    """What a table contains, read from a JSON file.

    Keys: ``title``; ``dataset``, which decides how data is prepared;
    ``records`` and ``page``, files beside it; ``baseline``, the name of a
    row; ``parts``, a list of ``labels``, ``seeds`` and ``rows``, each a
    ``[name, config]``.

    Args:
        path (Path): The JSON file.
        root (Path): The checkout, to which configs are relative.
        options (dict, optional): Overrides for every config.

    Raises:
        ValueError: If a part has no row of the baseline's name.
    """

    def __init__(self,
                 path: Path,
                 root: Path,
                 options: dict | None = None) -> None:
        spec = json.loads(Path(path).read_text('utf-8'))
        self.name, self.title = Path(path).stem, spec['title']
        self.dataset = spec['dataset']
        self.records = Path(path).parent / spec['records']
        self.page = Path(path).parent / spec['page']
        self.baseline = spec['baseline']
        self.rows = [
            Row(part['labels'], name, [
                PlannedRun(f'{name}, {part["labels"]} labels, seed {seed}',
                           config, seed, root, options or {})
                for seed in part['seeds']
            ]) for part in spec['parts'] for name, config in part['rows']
        ]

    def check_baseline(self) -> None:
        """Make sure that every part has the baseline."""
        labels = {row.labels for row in self.rows}
        with_it = {
            row.labels
            for row in self.rows if row.name == self.baseline
        }
        if labels - with_it:
            names = sorted({row.name for row in self.rows})
            raise ValueError(
                f'{self.name}: there is no row {self.baseline!r} at '
                f'{sorted(labels - with_it)} labels to compare with. Choose '
                f'the baseline among {names}.')

    def runs(self) -> list[PlannedRun]:
        """All runs, the first seed of every row before the second."""
        longest = max(len(row.runs) for row in self.rows)
        return [
            row.runs[i] for i in range(longest) for row in self.rows
            if i < len(row.runs)
        ]


def make_rows(spec: TableSpec, records: list[dict]) -> list[Row]:
    """Fill a table with what has been finished.

    Args:
        spec (TableSpec): The table.
        records (list[dict]): All records, see
            :func:`mmseg_semi.engine.run_records.read_records`.

    Returns:
        list[Row]: The rows of ``spec``, filled. Differences need the areas
        per image of the method and the baseline; only seeds that both have
        are compared.
    """
    spec.check_baseline()
    for row in spec.rows:
        found = {run.seed: run.find_record(records) for run in row.runs}
        row.records = {s: record for s, record in found.items() if record}
    baselines = {
        row.labels: row
        for row in spec.rows if row.name == spec.baseline
    }
    for row in spec.rows:
        baseline = baselines[row.labels]
        if row is not baseline:
            _compare(row, baseline, spec.records.parent)
    return spec.rows


def _compare(row: Row, baseline: Row, folder: Path) -> None:
    pairs = []
    for seed, record in row.records.items():
        other = baseline.records.get(seed)
        if other and record.get('per_image') and other.get('per_image'):
            pair = _areas(record, folder), _areas(other, folder)
            pairs.append(pair)
            row.by_seed.append(_score(pair[0]) - _score(pair[1]))
    if pairs:
        row.difference = paired_difference(*zip(*pairs))


def _areas(record: dict, folder: Path) -> PerImageAreas:
    """Areas of a record, checked against its score."""
    path = folder / record['per_image']
    if not path.is_file():
        raise FileNotFoundError(
            f'{path}, the areas per image of a recorded run, is missing. '
            'Restore it with git, or remove the line of run '
            f'{record["run"]} from the records to train it again.')
    areas, iteration = PerImageAreas.load(path)
    score = _score(areas)
    if iteration != record['iterations'] or abs(score - record['last']) > .02:
        raise ValueError(
            f'{path} is of iteration {iteration} with mIoU {score:.2f}, but '
            f'its record says {record["iterations"]} and {record["last"]}: '
            'the files do not belong together.')
    return areas


def _score(areas: PerImageAreas) -> float:
    return float(resampled_miou(areas, np.ones((1, len(areas.ids))))[0])


def _mean(values: list[float]) -> str:
    if not values:
        return '–'
    if len(values) == 1:
        return f'{values[0]:.2f}'
    return f'{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}'


def cells(row: Row, baseline: str) -> list[str]:
    """A row as text, in the order of ``HEADER``."""
    records = list(row.records.values())
    seeds = ', '.join(map(str, row.records)) or 'not yet run'
    difference = 'baseline' if row.name == baseline else '–'
    if row.difference:
        mean, low, high = row.difference
        difference = f'{mean:+.2f} [{low:+.2f}, {high:+.2f}]'
    minutes = [record['seconds'] / 60 for record in records]
    return [
        str(row.labels), row.name, seeds,
        _mean([record['last'] for record in records]),
        _mean([record['best'] for record in records]), difference,
        ', '.join(f'{value:+.2f}' for value in row.by_seed),
        f'{np.mean(minutes):.1f}' if minutes else '–'
    ]


def rich_table(spec: TableSpec, rows: list[Row]) -> Table:
    """The table for a terminal."""
    table = Table(*HEADER, title=spec.title)
    for i, row in enumerate(rows):
        ends = i + 1 < len(rows) and rows[i + 1].labels != row.labels
        table.add_row(*cells(row, spec.baseline), end_section=ends)
    return table


def notes(spec: TableSpec, rows: list[Row]) -> list[str]:
    """What a reader must know about the numbers."""
    records = [record for row in rows for record in row.records.values()]
    if not records:
        return []

    def unique(values):
        return ', '.join(sorted({str(value) for value in values}))

    torch = unique(record['versions']['torch'] for record in records)
    threads = unique(record['host']['threads'] for record in records)
    dates = sorted(record['date'][:10] for record in records)
    return [
        f'Mean ± standard deviation over seeds. Baseline: {spec.baseline}; '
        'differences are in the last mIoU, each seed with the same seed of '
        'the baseline. In brackets: 95 % bootstrap interval over the '
        'validation images for these trained models; how other seeds would '
        'come out is not in it.',
        'Minutes: wall time of one training, validation included, mean over '
        f'seeds ({threads} thread(s), trainings may have run side by side).',
        f'Iterations {unique(r["iterations"] for r in records)}; '
        f'code {unique(r["commit"] for r in records)}; torch {torch}; '
        f'{dates[0]} to {dates[-1]}.'
    ]


def markdown(spec: TableSpec, rows: list[Row]) -> str:
    """The table and its notes as Markdown."""
    lines = [HEADER, ['---'] * len(HEADER)]
    lines += [cells(row, spec.baseline) for row in rows]
    table = ['| ' + ' | '.join(line) + ' |' for line in lines]
    return '\n'.join([*table, '', *notes(spec, rows)])


def write_between_markers(page: Path, name: str, text: str) -> None:
    """Put text into a page, replacing only what was put there before.

    Args:
        page (Path): The Markdown file; made where missing.
        name (str): Tells several tables of a page apart.
        text (str): What to write.
    """
    begin, end = f'<!-- begin {name} -->', f'<!-- end {name} -->'
    old = page.read_text('utf-8') if page.is_file() else ''
    if begin in old and end in old:
        head, rest = old.split(begin, 1)
        tail = rest.split(end, 1)[1]
    else:
        head, tail = (f'{old.rstrip()}\n\n' if old else ''), '\n'
    page.write_text(f'{head}{begin}\n{text}\n{end}{tail}', 'utf-8')
