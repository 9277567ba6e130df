# Copyright (c) mmseg_semi authors.
"""A table of results as Markdown, CSV, HTML, or for a terminal."""
import csv
import io
from collections.abc import Sequence

from jinja2 import Environment
from rich.table import Table

from .columns import make_cells, notes
from .tables import Row

# Format -> suffix of its files.
SUFFIXES = dict(terminal='.md', markdown='.md', csv='.csv', html='.html')

_HTML = '''\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font-family: sans-serif; margin: 2em; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ccc; padding: .2em .6em; text-align: left; }
tr.first td { border-top: 2px solid #555; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
<table>
<thead><tr>{% for name in header %}<th>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for row in body %}
<tr{% if row.first %} class="first"{% endif %}>
{%- for cell in row.cells %}<td>{{ cell }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody>
</table>
{%- for note in notes %}
<p>{{ note }}</p>
{%- endfor %}
</body>
</html>
'''


def terminal(title: str, rows: Sequence[Row]) -> Table:
    """The table for rich's console."""
    header, body = make_cells(rows)
    table = Table(*header, title=title)
    for i, cells in enumerate(body):
        table.add_row(*cells, end_section=_ends(rows, i))
    return table


def markdown(rows: Sequence[Row], baseline: str | None = None) -> str:
    """The table and its notes as Markdown."""
    header, body = make_cells(rows)
    lines = [header, ['---'] * len(header), *body]
    table = [
        '| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) + ' |'
        for line in lines
    ]
    return '\n'.join([*table, '', *notes(rows, baseline)]).rstrip()


def to_csv(rows: Sequence[Row]) -> str:
    """The table as comma separated values."""
    file = io.StringIO()
    header, body = make_cells(rows)
    csv.writer(file, lineterminator='\n').writerows([header, *body])
    return file.getvalue()


def html(title: str, rows: Sequence[Row], baseline: str | None = None) -> str:
    """The table and its notes as a page of HTML."""
    header, body = make_cells(rows)
    template = Environment(autoescape=True).from_string(_HTML)
    return template.render(
        title=title,
        header=header,
        body=[
            dict(cells=cells, first=i > 0 and _ends(rows, i - 1))
            for i, cells in enumerate(body)
        ],
        notes=notes(rows, baseline))


def _ends(rows: Sequence[Row], i: int) -> bool:
    """Whether the next row is under another protocol."""
    return i + 1 < len(rows) and rows[i + 1].protocol != rows[i].protocol
