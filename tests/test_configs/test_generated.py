# Copyright (c) mmseg_semi authors.
"""Configs, metafiles and README tables are those of the table of configs."""
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mmseg_semi.datasets.splits import known_splits, split_name
from .cases import ALL, CONFIGS, ROOT, loaded

TOOL = ROOT / 'tools/misc/generate_configs.py'
FOLDERS = sorted({path.split('/')[0] for path in ALL})
RELEASED = '6d10c6f'  # whose names CHANGELOG.md gives today's of

sys.path.insert(0, str(TOOL.parent))
from config_table import readmes  # noqa: E402
from config_table.renamed import new_name  # noqa: E402
from generate_configs import differences, stray  # noqa: E402


def test_what_is_committed_is_what_the_table_makes():
    done = subprocess.run([sys.executable, TOOL, '--check'],
                          cwd=ROOT,
                          capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) > len(ALL)


def test_an_edited_config_is_found(tmp_path):
    (tmp_path / 'configs/_base_').mkdir(parents=True)
    (tmp_path / 'configs/a.py').write_text('lr = 2\n')
    (tmp_path / 'configs/b.py').write_text('lr = 1\n')
    (tmp_path / 'configs/_base_/c.py').write_text('lr = 1\n')
    expected = {'configs/a.py': 'lr = 1\n', 'configs/d.py': ''}
    edited, missing, extra = differences(expected, tmp_path)
    assert '-lr = 2' in edited and '+lr = 1' in edited
    assert missing == 'configs/d.py is missing'
    assert extra == 'configs/b.py is in no row of the table'
    assert stray(expected, tmp_path) == ['configs/b.py']


def test_results_in_a_readme_stay():
    head = '| config | published | ours, last | best |\n| --- | --- | --- | ' \
        '--- |\n'
    new = f'{head}| [a](./a.py) | 2 | not yet run | not yet run |\n'
    old = f'{head}| [a](./a.py) | 1 | 70.1 | 70.2 |\n'
    assert readmes.with_results(
        new, old) == f'{head}| [a](./a.py) | 2 | 70.1 | 70.2 |\n'


def test_a_readme_without_marks_is_refused():
    with pytest.raises(ValueError, match='begin results'):
        readmes.replace('# BRPG\n', 'results', '')


@pytest.mark.parametrize('folder', FOLDERS)
def test_the_metafile_lists_exactly_the_configs(folder):
    listed = yaml.safe_load((CONFIGS / folder / 'metafile.yml').read_text())
    collection, = listed['Collections']
    assert (ROOT / collection['README']).is_file()
    configs = [model['Config'] for model in listed['Models']]
    assert sorted(configs) == [
        f'configs/{path}.py' for path in ALL if path.startswith(f'{folder}/')
    ]
    for model in listed['Models']:
        assert model['In Collection'] == collection['Name']
        assert model['Name'] == Path(model['Config']).stem
        counts = re.findall(r'\d+', model['Metadata']['Batch Size'])
        path = model['Config'][len('configs/'):-len('.py')]
        sampler = loaded(path).train_dataloader.sampler
        assert [int(n) for n in counts] == [n for n in sampler.counts if n]


def test_the_index_imports_every_metafile():
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text())
    assert index['Import'] == [f'configs/{f}/metafile.yml' for f in FOLDERS]


@pytest.mark.parametrize('folder', FOLDERS)
def test_the_readme_names_every_config_and_its_list(folder):
    text = (CONFIGS / folder / 'README.md').read_text()
    for link in re.findall(r'\]\((\.[^)#]*)\)', text):
        assert (CONFIGS / folder / link).exists(), link
    rows = {
        m[1]: m[2]
        for m in re.finditer(r'\| \[([\w-]+)\]\([^)]*\) \| [\w-]+ \| `(\w+)`',
                             text)
    }
    for path in (p for p in ALL if p.startswith(f'{folder}/')):
        stem = path.rsplit('/', 1)[1]
        assert f'/{stem}.py)' in text, f'{path} is not in {folder}/README.md'
        if stem in rows:
            ann_file = loaded(path).train_dataloader.dataset.labeled.ann_file
            digest = known_splits()[split_name(ann_file)]['sha256']
            assert digest.startswith(rows[stem])


def renamed():
    text = (ROOT / 'CHANGELOG.md').read_text()
    return dict(
        re.findall(r'^\| `([\w/.-]+)` \| `([\w/.-]+)` \|$', text, re.M))


def test_names_in_the_changelog():
    pairs = renamed()
    assert len(pairs) > 100
    for old, new in pairs.items():
        assert (CONFIGS / f'{new}.py').is_file(), new
        assert new_name(old) == new


def test_no_earlier_config_is_lost():
    done = subprocess.run(
        ['git', 'ls-tree', '-r', '--name-only', RELEASED, 'configs'],
        cwd=ROOT,
        capture_output=True,
        text=True)
    if done.returncode:
        pytest.skip(f'no git history with {RELEASED}')
    earlier = [
        line[len('configs/'):-len('.py')] for line in done.stdout.split()
        if line.endswith('.py') and '_base_' not in line
    ]
    assert len(earlier) == 288
    pairs = renamed()
    for old in earlier:
        assert new_name(old) == pairs.get(old)
        assert pairs.get(old, old) in ALL


def test_documents_name_configs_that_are_there():
    """READMEs and docs; those that say NAME or N are patterns."""
    files = [ROOT / 'README.md', *(ROOT / 'docs').rglob('*.md')]
    files += list(CONFIGS.rglob('*.md'))
    for file in files:
        text = file.read_text()
        for name in re.findall(r'configs/[a-z0-9_]+/[\w/-]+\.py', text):
            if '_base_' not in name:
                assert (ROOT / name).is_file(), f'{name} in {file}'
