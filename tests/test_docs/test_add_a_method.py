# Copyright (c) mmseg_semi authors.
"""The worked example of docs/add_a_method.md trains as it is printed."""
import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from ..test_end_to_end.conftest import digits  # noqa: F401
from ..test_end_to_end.harness import ROOT

PAGE = (ROOT / 'docs/add_a_method.md').read_text()
LINES = 40  # of code, that a method may cost


def files():
    """Name -> text of the files the page tells its reader to write."""
    found = dict(
        re.findall(r'`([\w.]+\.py)`:\n\n```python\n(.*?)```', PAGE, re.S))
    assert set(found) == {'max_squares.py', 'max_squares_digits_50.py'}
    return found


def test_it_is_short():
    lines = [line for text in files().values() for line in text.splitlines()]
    assert sum(bool(line.strip()) for line in lines) <= LINES


def test_its_loss_is_the_equation():
    module = {}
    # Registered under another name than the copy that the training imports.
    text = files()['max_squares.py'].replace(
        '@MODELS.register_module()', "@MODELS.register_module('Documented')")
    exec(text, module)
    term = module['MaxSquares'](net='student', num_classes=3, loss_weight=.3)
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    valid = torch.rand(2, 4, 5) < .7
    step = SimpleNamespace(
        learned_views=lambda net: ['unsup_student'],
        labels={('student', 'unsup_student'): dict(valid=valid)},
        learner=lambda net, view: SimpleNamespace(at=lambda size: logits))
    expected, count = 0., 0
    for image, row, col in valid.nonzero().tolist():
        scores = logits[image, :, row, col].exp()
        expected += ((scores / scores.sum())**2).sum()
        count += 1
    expected = -.3 * expected / (2 * count)
    (loss, ) = term.loss(step).values()
    assert abs(loss - expected) < 1e-9


@pytest.mark.slow
def test_it_trains_and_resumes(tmp_path, digits):  # noqa: F811
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    dataset = 'train_dataloader.dataset'
    command = [
        sys.executable, ROOT / 'tools/train.py', 'max_squares_digits_50.py',
        '--work-dir', 'run', '--cfg-options', 'train_cfg.val_interval=4',
        'model.burn_in=1', 'default_hooks.logger.interval=1',
        'default_hooks.checkpoint.interval=2',
        f'{dataset}.labeled.data_root={digits}',
        f'{dataset}.labeled.ann_file=ImageSets/Semi/digits-40.txt',
        f'{dataset}.unlabeled.data_root={digits}',
        f'val_dataloader.dataset.data_root={digits}'
    ]
    paths = os.pathsep.join(map(str, (tmp_path, ROOT)))
    for last in (['train_cfg.max_iters=2'],
                 ['train_cfg.max_iters=4', '--resume']):
        finished = subprocess.run([*map(str, command), *last],
                                  cwd=tmp_path,
                                  env=dict(os.environ, PYTHONPATH=paths),
                                  capture_output=True,
                                  text=True,
                                  timeout=300)
        assert finished.returncode == 0, finished.stderr
    losses = {}
    for log in sorted((tmp_path / 'run').glob('*/vis_data/scalars.json')):
        for line in map(json.loads, log.read_text().splitlines()):
            if 'loss_squares_unsup_student' in line:
                losses[line['step']] = line['loss_squares_unsup_student']
    assert set(losses) == {2, 3, 4}
    assert all(-.05 <= value < 0 for value in losses.values())
