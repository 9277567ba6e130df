# Copyright (c) mmseg_semi authors.
"""What papers, repositories and logs published, from one data file."""
import difflib
import json
from dataclasses import dataclass, fields
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# An installed package has its configs inside.
PUBLISHED = next(
    (path
     for path in (_PACKAGE.parent / 'configs/published.json',
                  _PACKAGE / '.mim/configs/published.json') if path.is_file()),
    _PACKAGE.parent / 'configs/published.json')


class PublishedError(ValueError):
    """A figure that is not in the data file, or a file that is broken."""


@dataclass(frozen=True)
class Figure:
    """One published number and how it was obtained.

    Args:
        id (str): ``paper/table/row/column``, for example
            ``brpg/t2/brpg/366``.
        value (float): As printed; percent where ``metric`` is mIoU.
        text (str): The value with the decimals that the source prints.
        paper (str): Key of the paper or repository.
        table (str): Name of the table in it.
        row (str): What the row is called.
        column (str): Key of the column.
        labels (int, optional): Number of labelled images.
        protocol (str, optional): Family of lists and pool of unlabelled
            images, as config names say it.
        list (str, optional): The labelled list.
        dataset (str, optional): Name of the data set.
        network (str, optional): Segmentation network.
        backbone (str, optional): Its encoder.
        weights (str, optional): What the weights were trained on at first.
        evaluation (str, optional): How it was measured, where known.
        metric (str): Name of the score.
        quoted (bool): Taken by the paper from elsewhere.
        note (str, optional): What else to know.
    """
    id: str
    value: float
    text: str
    paper: str
    table: str
    row: str
    column: str
    labels: int | None = None
    protocol: str | None = None
    list: str | None = None
    dataset: str | None = None
    network: str | None = None
    backbone: str | None = None
    weights: str | None = None
    evaluation: str | None = None
    metric: str = 'mIoU'
    quoted: bool = False
    note: str | None = None


_KNOWN = {field.name for field in fields(Figure)}


class Published:
    """All figures of a data file.

    A table's keys hold for all of its cells; those of a column replace the
    table's, and those of a row the column's. ``list`` may name other keys of
    the column in braces. ``null`` is a cell that the source leaves empty. The
    list and the evaluation of a quoted row are known only where the row
    itself says so.

    Args:
        path (Path): The JSON file. Defaults to ``configs/published.json``.

    Attributes:
        papers (dict[str, dict]): Key -> ``name``, ``url``, ``runs``.
        figures (dict[str, Figure]): Id -> figure.

    Raises:
        PublishedError: If the file is missing or broken; says where.
    """

    def __init__(self, path: Path = PUBLISHED) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise PublishedError(
                f'{path}, the file of published figures, is missing. Restore '
                'it with git.')
        try:
            content = json.loads(self.path.read_text('utf-8'))
            self.papers: dict = content['papers']
            self.tables: dict = {
                table['id']: table
                for table in content['tables']
            }
            if len(self.tables) < len(content['tables']):
                raise ValueError('two tables have one id')
            self.figures: dict = {}
            for table in content['tables']:
                self._add(table)
        except (ValueError, KeyError, TypeError) as error:
            raise PublishedError(f'{path} is broken: {error!r}.') from error

    def _add(self, table: dict) -> None:
        for row in table['rows']:
            if len(row['values']) != len(table['columns']):
                raise ValueError(
                    f'{table["id"]}, row {row["id"]}: {len(row["values"])} '
                    f'values in {len(table["columns"])} columns')
            for column, value in zip(table['columns'], row['values']):
                if value is None:
                    continue
                figure = _figure(table, row, column, value)
                if figure.id in self.figures:
                    raise ValueError(f'two figures have the id {figure.id}')
                self.figures[figure.id] = figure

    def __getitem__(self, id: str) -> Figure:
        """The figure with this id.

        Raises:
            PublishedError: If there is none; names the nearest ids.
        """
        if id in self.figures:
            return self.figures[id]
        near = nearest(id, self.figures)
        raise PublishedError(
            f'There is no published figure {id!r} in {self.path}. Nearest: '
            f'{", ".join(near)}. Correct the id, or add the figure with its '
            'source.')

    def find(self, **wanted) -> list[Figure]:
        """All figures whose fields have these values, in their order.

        Raises:
            TypeError: If a name is no field of :class:`Figure`.
        """
        if not set(wanted) <= _KNOWN:
            raise TypeError(
                f'A figure has no {sorted(set(wanted) - _KNOWN)}, but '
                f'{sorted(_KNOWN)}.')
        return [
            figure for figure in self.figures.values() if all(
                getattr(figure, name) == value
                for name, value in wanted.items())
        ]


def _figure(table: dict, row: dict, column: dict, value: float) -> Figure:
    merged = {**table, **column, **row}
    if row.get('quoted'):
        merged.update(list=row.get('list'), evaluation=row.get('evaluation'))
    known = {key: merged[key] for key in _KNOWN & set(merged)}
    if known.get('list'):
        known['list'] = known['list'].format_map(merged)
    known.update(
        id='/'.join([table['id'], row['id'], column['id']]),
        value=value,
        text=f'{value:.{table.get("decimals", 2)}f}',
        row=row['name'],
        column=column['id'])
    return Figure(**known)


def nearest(name: str, names, count: int = 3) -> list[str]:
    """Those of ``names`` that look most like ``name``."""
    return difflib.get_close_matches(name, list(names), count, cutoff=0.)
