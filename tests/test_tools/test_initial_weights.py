# Copyright (c) mmseg_semi authors.
"""initial_weights.py on a shipped config and on heads without a law."""
import importlib.util
import json
import math
from pathlib import Path

import pytest
from mmengine.config import Config

from ..test_models.toys import brpg_cfg, mean_teacher_cfg, segmentor

ROOT = Path(__file__).resolve().parents[2]
DIGITS = str(ROOT / 'configs/brpg/brpg_r18_digits_50.py')


def load():
    spec = importlib.util.spec_from_file_location(
        'initial_weights', ROOT / 'tools/analysis_tools/initial_weights.py')
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


tool = load()


def by_name(rows):
    return {row.name: row for row in rows}


def test_shipped_config(capsys):
    """Every layer of decoder and projector, none of the backbone."""
    rows = by_name(tool.main([DIGITS]))
    assert rows['decode_head.bottleneck.0.conv.weight'].shape == (48, 240, 3,
                                                                  3)
    assert rows['decode_head.conv_seg.bias'].shape == (11, )
    assert 'semi_heads.brpg.projector.4.weight' in rows
    assert not any(name.startswith('backbone') for name in rows)
    for row in rows.values():
        number = math.prod(row.shape)
        assert row.law == 'torch'
        assert row.ratio == pytest.approx(row.std / row.law_std)
        assert abs(row.ratio - 1) < 5 * (.2 / number)**.5 + 1 / number
    printed = capsys.readouterr().out
    assert 'classifier.2.conv.weight' in printed
    assert '48 x 240 x 3 x 3' in printed


def test_another_law(capsys):
    """Kaiming's by fan_out is sqrt(6 fan_in / fan_out) times PyTorch's."""
    rows = by_name(
        tool.main([
            DIGITS, '--json', '--law', 'torch', '--cfg-options',
            'model.segmentor.decode_head.init=kaiming_fan_out'
        ]))
    printed = {row['name']: row for row in json.loads(capsys.readouterr().out)}
    assert set(printed) == set(rows)
    name = 'decode_head.bottleneck.0.conv.weight'
    assert printed[name]['ratio'] == pytest.approx(30**.5, rel=.02)
    assert printed['decode_head.low_conv.conv.bias']['ratio'] == 0


def test_heads_without_a_law_and_other_networks(tmp_path, capsys):
    term = brpg_cfg(
        head=dict(in_channels=8, init='kaiming_fan_out'), window=(0, 1))
    cfg = mean_teacher_cfg(segmentor=segmentor('fcn'), terms=dict(brpg=term))
    path = str(tmp_path / 'fcn.py')
    Config(dict(model=cfg)).dump(path)
    rows = by_name(tool.main([path, '--network', 'teacher']))
    row = rows['decode_head.convs.0.conv.weight']
    assert row.law is row.law_std is row.ratio is None and row.std > 0
    row = rows['semi_heads.brpg.projector.0.conv.bias']
    assert (row.law, row.law_std, row.ratio) == ('kaiming_fan_out', 0, None)
    assert ' - ' in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no network 'branch'"):
        tool.main([path, '--network', 'branch'])
