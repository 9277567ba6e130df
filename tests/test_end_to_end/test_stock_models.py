# Copyright (c) mmseg_semi authors.
"""PCR and CMB on stock networks, trained and scored by the stock tools."""
import json

import cv2
import pytest
import torch

from .harness import STOCK, run_tools, write_config

pytestmark = pytest.mark.slow

ITERS = 6
PREPROCESSOR = dict(size=(64, 64))
NETWORKS = {
    'deeplabv3plus':
    dict(
        config='mmseg::deeplabv3plus/'
        'deeplabv3plus_r50-d8_4xb4-40k_voc12aug-512x512.py',
        pretrained=None,
        data_preprocessor=PREPROCESSOR,
        backbone=dict(depth=18, stem_channels=8, base_channels=8),
        decode_head=dict(
            in_channels=64,
            c1_in_channels=8,
            channels=16,
            c1_channels=8,
            num_classes=11),
        auxiliary_head=dict(in_channels=32, channels=8, num_classes=11)),
    'segformer-b0':
    dict(
        config='mmseg::segformer/'
        'segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
        data_preprocessor=PREPROCESSOR,
        backbone=dict(embed_dims=8, init_cfg=None),
        decode_head=dict(
            in_channels=[8, 16, 40, 64], channels=16, num_classes=11)),
}
WIDTHS = dict(  # of the maps that the methods' heads read
    pcr={
        'deeplabv3plus': 24,
        'segformer-b0': 16
    },
    cmb={
        'deeplabv3plus': 16,
        'segformer-b0': 16
    })
STAGES = dict(
    pcr=dict(
        burn_in=1,
        terms=dict(
            consistency=dict(threshold=0.),
            pcr=dict(window=(1, 3), threshold=0.))),
    cmb=dict(
        mixing=dict(begin=3),
        terms=dict(cmb=dict(memory_start=1, contrast_start=3, threshold=0.))))
LOSSES = dict(
    pcr=('loss_proto', 'loss_proto_unsup'),
    cmb=('loss_contrast', 'loss_contrast_unsup'))
SLIDE = ('--cfg-options', 'model.test_cfg.mode=slide',
         'model.test_cfg.crop_size=(48,48)', 'model.test_cfg.stride=(16,16)')


def configure(folder, root, method, network):
    """A config of the method on the network, seconds long."""
    stages = STAGES[method]
    head = dict(in_channels=WIDTHS[method][network])
    terms = dict(stages['terms'])
    terms[method] = dict(terms[method], head=head)
    return write_config(
        folder / f'{method}.py',
        root,
        method,
        max_iters=ITERS,
        model=dict(
            stages,
            terms=terms,
            segmentor=dict(_delete_=True, **NETWORKS[network])))


def scalars(folder):
    """The last line of training in the JSON log."""
    (path, ) = folder.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if 'loss' in line][-1]


@pytest.mark.parametrize('network', NETWORKS)
@pytest.mark.parametrize('method', STAGES)
def test_stock_tools_on_a_stock_network(method, network, tmp_path, digits):
    config = configure(tmp_path, digits, method, network)
    checkpoint = tmp_path / f'train/iter_{ITERS}.pth'
    modes = dict(whole=(), slide=SLIDE, tta=('--tta', ))
    finished = run_tools(
        [STOCK / 'train.py', config, '--work-dir', tmp_path / 'train'],
        *([
            STOCK / 'test.py', config, checkpoint, '--work-dir',
            tmp_path / mode, '--out', tmp_path / mode / 'masks', *arguments
        ] for mode, arguments in modes.items()),
        log=tmp_path / 'log.txt')
    assert finished.code == 0, finished.output

    state = torch.load(checkpoint, weights_only=True)['state_dict']
    if method == 'pcr':
        assert state['student.semi_heads.pcr.prototype_valid'].any()
    else:
        assert state['terms.cmb.bank.count'].any()
    last = scalars(tmp_path / 'train')
    assert all(last[name] > 0 for name in LOSSES[method]), last

    names = (digits / 'ImageSets/Segmentation/val.txt').read_text().split()
    for mode in modes:
        (report, ) = tmp_path.glob(f'{mode}/*/*.json')
        assert 0 <= json.loads(report.read_text())['mIoU'] <= 100
        masks = sorted((tmp_path / mode / 'masks').glob('*.png'))
        assert [mask.stem for mask in masks] == sorted(names)
        assert cv2.imread(str(masks[0]), 0).shape == (64, 64)
