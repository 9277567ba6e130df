# Copyright (c) mmseg_semi authors.
"""What sets say of their classes."""
import pytest

from mmseg_semi.data_check import check_config
from .test_config_sets import config, stock
from .trees import Tree, kinds, only


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


@pytest.mark.parametrize('name,severity', [('labelled', 'warning'),
                                           ('validation', 'error')])
def test_no_classes_are_stated(tree, name, severity):
    cfg = config(tree, **{name: stock(tree, name, metainfo=None)})
    finding = only(check_config(cfg), 'classes-unclear', severity, name)
    assert 'Set metainfo=' in finding.remedy


def test_classes_of_one_name(tree):
    metainfo = dict(classes=('ground', 'disc', 'disc'))
    cfg = config(
        tree,
        *(stock(tree, name, metainfo=metainfo) for name in ('labelled', )),
        validation=stock(tree, 'validation', metainfo=metainfo))
    report = check_config(cfg)
    assert kinds(report) == [('error', 'classes-unclear', 'labelled'),
                             ('error', 'classes-unclear', 'validation')]
    assert report.findings[0].value == 'classes of one name: disc'


@pytest.mark.parametrize('name', ['labelled', 'validation'])
@pytest.mark.parametrize('index', [0, 254])
def test_another_id_without_a_label(tree, name, index):
    cfg = config(tree, **{name: stock(tree, name, ignore_index=index)})
    found = [f for f in check_config(cfg).errors]
    assert [f.kind for f in found] == ['ignore-index']
    assert f'ignore_index={index}' in found[0].value


def test_zero_is_a_class_in_one_set_only(tree):
    tree.change(lambda ids: ids + 1, 'validation')
    shifted = stock(tree, 'validation', reduce_zero_label=True)
    finding = only(
        check_config(config(tree, validation=shifted)), 'classes-differ',
        'warning', 'validation')
    assert 'reduce_zero_label=True' in finding.value


@pytest.mark.parametrize('old,new', [('img_dir', 'img_path'),
                                     ('ann_dir', 'seg_map_path'),
                                     ('split', 'ann_file'),
                                     ('classes', 'metainfo')])
def test_arguments_of_older_versions(tree, old, new):
    cfg = config(tree, stock(tree, 'labelled', **{old: 'photos'}))
    finding = only(check_config(cfg), 'set-not-built', 'error')
    assert old in finding.value and new in finding.remedy
