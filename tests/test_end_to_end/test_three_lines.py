# Copyright (c) mmseg_semi authors.
"""What a user writes for a model and data of their own, by stock tools."""
import json

import pytest

from .harness import ROOT, STOCK, run_tools

pytestmark = pytest.mark.slow

CONFIG = '''
_base_ = [__import__('mmseg_semi').base('methods/{method}.py'), 'my_data.py']
model = dict(
    segmentor='{segmentor}', num_classes=11, pretrained=False)
'''
DATA = '''
_base_ = {digits!r}
num_classes = None
train_dataloader = dict(
    batch_size=8,
    sampler=dict(counts=(4, 4)),
    dataset=dict(
        labeled=dict(data_root={root!r}, ann_file='ImageSets/Semi/{list}.txt'),
        unlabeled=dict(data_root={root!r})))
val_dataloader = dict(batch_size=4, dataset=dict(data_root={root!r}))
test_dataloader = val_dataloader
'''
PAIRS = [
    ('brpg', 'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'),
    ('cmb', 'mmseg::fastscnn/fast_scnn_8xb4-160k_cityscapes-512x1024.py'),
    ('rc2l', 'mmseg::stdc/stdc1_4xb12-80k_cityscapes-512x1024.py'),
]


def write_files(folder, root, method, segmentor):
    """The user's two files; the first is what the method asks for."""
    lists = sorted(p.stem for p in (root / 'ImageSets/Semi').glob('*-40.txt'))
    (folder / 'my_data.py').write_text(
        DATA.format(
            digits=str(ROOT / 'configs/_base_/datasets/digits.py'),
            root=str(root),
            list=lists[0]))
    path = folder / 'my_model.py'
    path.write_text(CONFIG.format(method=method, segmentor=segmentor))
    return path


@pytest.mark.parametrize('method, segmentor', PAIRS)
def test_stock_tools(method, segmentor, tmp_path, digits):
    config = write_files(tmp_path, digits, method, segmentor)
    finished = run_tools([
        STOCK / 'train.py', config, '--work-dir', tmp_path / 'train',
        '--cfg-options', 'train_cfg.max_iters=20',
        'default_hooks.logger.interval=1'
    ], [
        STOCK / 'test.py', config, tmp_path / 'train/iter_20.pth',
        '--work-dir', tmp_path / 'test'
    ],
                         log=tmp_path / 'log.txt')
    assert finished.code == 0, finished.output[-2000:]
    (report, ) = tmp_path.glob('test/*/*.json')
    assert 0 <= json.loads(report.read_text())['mIoU'] <= 100
    lines = [
        json.loads(line)
        for path in tmp_path.glob('train/*/vis_data/scalars.json')
        for line in path.read_text().splitlines()
    ]
    last = [
        line for line in lines if line.get('step') == 20 and 'loss' in line
    ]
    own = dict(
        brpg='loss_proto', cmb='loss_contrast_unsup', rc2l='loss_smc')[method]
    assert last and own in last[0] and last[0]['loss'] > 0
    assert any(name.startswith('decode') for name in last[0])
