# Copyright (c) mmseg_semi authors.
import importlib.util
import json

import pytest

from ..test_end_to_end.harness import ROOT
from ..test_engine.gate_runs import (EDGES, brute_force, config, gate_of,
                                     train, write_digits)

_spec = importlib.util.spec_from_file_location(
    'pseudo_precision', ROOT / 'tools/analysis_tools/pseudo_precision.py')
tool = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tool)


def test_stated_and_true(tmp_path, capsys):
    digits = write_digits(tmp_path / 'DigitScenes')
    runner = train(digits, tmp_path / 'run')
    cfg, out = tmp_path / 'mine.py', tmp_path / 'out.json'
    config(digits, tmp_path / 'run').dump(cfg)
    arguments = [
        str(cfg),
        str(tmp_path / 'run/iter_2.pth'), '--out',
        str(out), '--thresholds', *map(str, EDGES[1:])
    ]
    result = tool.main(arguments)
    assert json.loads(out.read_text()) == result
    gate = gate_of(tmp_path / 'run')
    assert result['stated'] == {key: gate[key] for key in result['stated']}
    unlabelled = runner.train_dataloader.dataset.unlabeled
    assert result['true']['images'] == len(unlabelled) == 40

    class WithMasks:
        """The unlabelled images, and the masks that lie beside them."""

        def __len__(self):
            return 40

        def __getitem__(self, index):
            info = unlabelled.get_data_info(index)
            info.update(
                seg_map_path=info['img_path'].replace(
                    'JPEGImages', 'SegmentationClass').replace('jpg', 'png'),
                seg_fields=[])
            for transform in runner.val_dataloader.dataset.pipeline.transforms:
                info = transform(info)
            return info

    right, kept = brute_force(runner.model, WithMasks(), 'teacher', EDGES)
    assert list(result['true']['pixels'].values()) == kept.tolist()
    shown = capsys.readouterr().out
    assert 'stated by 4 held-out images / true of 40 unlabelled' in ' '.join(
        shown.split())
    with pytest.raises(SystemExit, match='--force'):
        tool.main(arguments)
    none = '--cfg-options', 'train_dataloader.dataset.held_out=0'
    result = tool.main([*arguments[:2], *none])
    assert (result['source'], result['stated']['images']) == ('validation', 3)
    with pytest.raises(SystemExit, match='has none for validation'):
        tool.main([*arguments[:2], *none, 'val_dataloader=None'])
