# Copyright (c) mmseg_semi authors.
"""Write the tables of the five papers, as benchmark_table.py reads them.

Rows, columns and figures are those of ``configs/published.json``;
``paper_rows.py`` says which of them the package can train. Run this again
after configs were renamed.
"""
import argparse
import json
import sys
from pathlib import Path

from mmseg_semi.benchmarking.published import Published
from mmseg_semi.benchmarking.runs import check_config

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from paper_rows import BASELINES, CONFIGS  # noqa: E402

PAPERS = ('brpg', 'pcr', 'cmb', 'pps', 'rc2l')


def make_row(entry, figure, column: str, name: str) -> dict:
    """A row of a table: name, figure, and what trains it."""
    row = dict(name=name, published=figure.id)
    if isinstance(entry, dict):
        entry = entry.get(column)
    if entry is None:
        return row
    stem, options = (entry, {}) if isinstance(entry, str) else entry
    if Path(stem).name.count('_') < 2:
        stem += f'_{figure.protocol}'
    row['config'] = f'configs/{stem}_{figure.labels}.py'
    if options:
        row['options'] = options
    return row


def make_spec(table: dict, published: Published) -> dict:
    """One table of a paper as benchmark_table.py reads it."""
    configs = CONFIGS.get(table['id'], {})
    unknown = set(configs) - {row['id'] for row in table['rows']}
    if unknown:
        raise SystemExit(f'{table["id"]} has no rows {sorted(unknown)}.')
    parts: dict = {}
    columns = {
        column['id']: '{protocol}_{labels}'.format_map({
            **table,
            **column
        })
        for column in table['columns']
    }
    for column in table['columns']:
        for row in table['rows']:
            id = f'{table["id"]}/{row["id"]}/{column["id"]}'
            if id not in published.figures:
                continue
            figure = published[id]
            part = columns[column['id']]
            if list(columns.values()).count(part) > 1:
                part += f' {column["id"]}'
            parts.setdefault(part, []).append(
                make_row(
                    configs.get(row['id']), figure, column['id'], row['name']))
    names = {row['id']: row['name'] for row in table['rows']}
    paper = published.papers[table['paper']]['name']
    spec = dict(
        title=f'{paper}, {table["table"]}: {table["title"]}',
        dataset=table.get('dataset', 'PASCAL VOC 2012 and Cityscapes'),
        records='../results.jsonl',
        page=f'{table["paper"]}.md')
    if table['id'] in BASELINES:
        spec['baseline'] = names[BASELINES[table['id']]]
    return dict(
        spec,
        parts=[
            dict(protocol=name, seeds=[0], rows=rows)
            for name, rows in parts.items()
        ])


def to_text(spec: dict) -> str:
    """JSON with a line for every row."""
    head = [
        f'  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)},'
        for key, value in spec.items() if key != 'parts'
    ]
    parts = []
    for part in spec['parts']:
        rows = ',\n'.join('        ' + json.dumps(row, ensure_ascii=False)
                          for row in part['rows'])
        parts.append(f'    {{\n      "protocol": "{part["protocol"]}",\n'
                     f'      "seeds": {json.dumps(part["seeds"])},\n'
                     f'      "rows": [\n{rows}\n      ]\n    }}')
    return '\n'.join(
        ['{', *head, '  "parts": [', ',\n'.join(parts), '  ]', '}']) + '\n'


def make_all(published: Published) -> dict[str, str]:
    """File name -> content of every table of the five papers.

    Tables of something else than mIoU are left out.
    """
    return {
        f'{table["id"].replace("/", "_")}.json':
        to_text(make_spec(table, published))
        for table in published.tables.values()
        if table['paper'] in PAPERS and table['table'].startswith('Table')
        and table.get('metric', 'mIoU') == 'mIoU'
    }


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.parse_args(argv)
    texts = make_all(Published())
    for text in texts.values():
        for part in json.loads(text)['parts']:
            for row in part['rows']:
                if row.get('config'):
                    check_config(
                        row['config'], ROOT, f'{HERE}/make_specs.py, '
                        f'{row["published"]},')
    for old in HERE.glob('*.json'):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        (HERE / name).write_text(text, 'utf-8')
    print(f'{len(texts)} tables written to {HERE}')
    return 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except ValueError as error:
        sys.exit(f'error: {error}')
