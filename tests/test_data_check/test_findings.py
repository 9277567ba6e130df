# Copyright (c) mmseg_semi authors.
import json
import re
from pathlib import Path

import pytest

from mmseg_semi import data_check
from mmseg_semi.data_check.findings import (KINDS, DataError, Finding, Report,
                                            gather)

ROOT = Path(__file__).parents[2]


def finding(path, kind='mask-ids', severity='error', files=()):
    return Finding(kind, severity, 'labelled', path, f'value of {path}',
                   'Mend it.', files)


def test_table():
    findings = [finding(f'p{i}') for i in range(7)]
    findings += [
        finding('w', 'empty-class', 'warning'),
        finding('a', 'size-differs', files=('a', 'b', 'c'))
    ]
    report = Report(findings, dict(labelled=9))
    text = report.as_table(limit=5)
    lines = text.splitlines()
    assert lines[0] == 'Images: labelled 9. 8 errors, 1 warning.'
    assert lines[2] == 'error: ids that are no class (mask-ids)'
    assert lines[3] == '  labelled  p0  value of p0'
    assert lines[8:10] == ['  ... and 2 more', '  -> Mend it.']
    assert 'a (and 2 more)' in text
    assert text.index('error: masks of') < text.index('warning: classes')
    assert 'p6' in report.as_table(limit=7)
    assert Report([]).as_table() == 'Images: none. 0 errors, 0 warnings.'


def test_json_has_everything():
    report = Report([finding(f'p{i}') for i in range(9)], dict(labelled=9),
                    dict(labelled=dict(a=3)))
    loaded = json.loads(json.dumps(report.as_dict()))
    assert loaded['errors'] == 9 and len(loaded['findings']) == 9
    assert loaded['findings'][8]['files'] == ['p8']
    assert loaded['pixels'] == dict(labelled=dict(a=3))


def test_errors_stop_and_warnings_do_not():
    warning = finding('w', 'empty-class', 'warning')
    Report([warning]).raise_errors()
    with pytest.raises(DataError) as error:
        Report([warning, finding('p'), finding('q')]).raise_errors()
    for path in 'wpq':
        assert f'value of {path}' in str(error.value)


def test_accept():
    report = Report([finding('p'), finding('q', 'size-differs')])
    assert [f.path for f in report.accept(['mask-ids']).errors] == ['q']
    with pytest.raises(ValueError, match='kind mask-id. Kinds are'):
        report.accept(['mask-id'])


def test_gather():
    assert gather('mask-ids', 'error', 'test', [], 'v', 'r') == []
    assert gather('mask-ids', 'error', 'test', ['a'], 'v', 'r')[0].files == ()
    assert gather('mask-ids', 'error', 'test', 'ab', 'v',
                  'r')[0].files == ('a', 'b')


def test_kinds_are_those_of_the_rules_and_of_the_page():
    source = ''.join(path.read_text()
                     for path in Path(data_check.__file__).parent.glob('*.py')
                     if path.name != 'findings.py')
    used = set(re.findall(r"'([a-z0-9]+(?:-[a-z0-9]+)+)'", source))
    assert used & set(KINDS) == set(KINDS)
    page = (ROOT / 'docs/data_check.md').read_text()
    assert re.findall(r'^\| `([a-z0-9-]+)` ', page, re.M) == list(KINDS)
