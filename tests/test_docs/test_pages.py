# Copyright (c) mmseg_semi authors.
"""What the pages point to exists, and their config for own images reads."""
import os
import re

import pytest
from mmengine.config import Config

from mmseg_semi.cli.main import commands as commands_of_the_package
from mmseg_semi.engine.plan import config_plan
from ..test_end_to_end.harness import ROOT

PAGES = [
    path for folder in ('', 'docs', 'configs', 'configs/*', 'benchmarks')
    for path in ROOT.glob(f'{folder}/*.md' if folder else '*.md')
]
FENCE = re.compile(r'```.*?```', re.S)


def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    return {
        re.sub(r'[^\w\- ]', '', title.lower()).strip().replace(' ', '-')
        for title in re.findall(r'^#+ (.*)$', page.read_text(), re.M)
    }


def name(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_links_lead_somewhere(page):
    for link in re.findall(r'\]\(([^)\s]+)\)', FENCE.sub('',
                                                         page.read_text())):
        if '://' in link:
            continue
        path, _, anchor = link.partition('#')
        target = page if not path else page.parent / path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_commands_name_files_that_exist(page):
    for path in re.findall(
            r'(?<![\w/.])((?:configs|tools)/[\w/-]+\.(?:py|sh))',
            page.read_text()):
        assert (ROOT / path).exists(), path


def test_the_readme_names_every_subcommand_and_page():
    text = (ROOT / 'README.md').read_text()
    commands = text.split('| `mmseg-semi ...` |')[1].split('\n\n')[0]
    named = re.findall(
        r'`(\w+)`',
        ''.join(line.split('|')[1] for line in commands.splitlines()[2:]))
    assert sorted(named) == sorted(commands_of_the_package())
    rows = text.split('\n## Documentation\n')[1].split('\n## ')[0]
    links = re.findall(r'\]\((docs/[^)]*)\)', rows)
    assert len(links) == len(set(links))
    assert set(links) == {
        name(page)
        for page in PAGES if page.parent.name == 'docs'
    }


@pytest.mark.parametrize('page', PAGES, ids=name)
def test_nothing_is_left_to_be_filled_in(page):
    text = FENCE.sub('', page.read_text())
    assert not re.search(r'^[A-Z]+$|\b(TODO|TBD|FIXME|XXX)\b', text, re.M)


def test_config_for_own_images(tmp_path):
    page = (ROOT / 'docs/data.md').read_text()
    text, rare = re.findall(r'```python\n(.*?)```', page, re.S)
    config = tmp_path / 'mine.py'
    config.write_text(text.replace("'configs/", f"'{ROOT}{os.sep}configs/"))
    cfg = Config.fromfile(config)
    plan = config_plan(cfg, 8, 1)
    assert plan['per_gpu'] == dict(labeled=2, unlabeled=2)
    assert plan['epochs_unlabeled'] == 80
    labelled = cfg.train_dataloader.dataset.labeled
    assert labelled.type == 'BaseSegDataset'
    assert labelled.pipeline[1].num_classes == len(labelled.metainfo.classes)
    assert cfg.test_dataloader.dataset.ann_file == 'lists/val.txt'
    more = tmp_path / 'rare.py'
    more.write_text(f'_base_ = "mine.py"\n{rare}')
    cfg = Config.fromfile(more)
    assert cfg.model.class_weight == 'balanced'
    assert cfg.train_dataloader.sampler.rare_class_temperature == .01
