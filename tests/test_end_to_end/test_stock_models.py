# Copyright (c) mmseg_semi authors.
"""Every method on stock networks, trained and scored by the stock tools."""
import json
import math
from typing import NamedTuple, Optional, Sequence

import cv2
import pytest
import torch

from mmseg_semi.models.decode_heads.query_decoder import decoder_layer
from mmseg_semi.models.segmentors.wrapped import resolve_segmentor
from .harness import STOCK, run_tools, write_config
from .test_resume import logged

pytestmark = pytest.mark.slow

HALF, ITERS = 10, 20
CLASSES = 11
WIDTH = 16  # of the maps that are classified, and of the transformers
PREPROCESSOR = dict(size=(64, 64))
RESNET = dict(depth=18, base_channels=8)
STAGES = {  # widths of the backbones' maps
    'deeplabv3plus': [8, 16, 32, 64],
    'segformer-b0': [8, 16, 40, 64],
    'maskformer': [8, 16, 32, 64],
}
QUERIES = dict(
    type='MaskQueryHead',
    feat_channels=WIDTH,
    out_channels=WIDTH,
    num_classes=CLASSES,
    num_queries=12,
    transformer_decoder=dict(
        num_layers=2, layer_cfg=decoder_layer(WIDTH, 2, 32)))
NETWORKS = {
    'deeplabv3plus':
    dict(
        config='mmseg::deeplabv3plus/'
        'deeplabv3plus_r50-d8_4xb4-40k_voc12aug-512x512.py',
        pretrained=None,
        data_preprocessor=PREPROCESSOR,
        backbone=dict(RESNET, stem_channels=8),
        decode_head=dict(
            in_channels=64,
            c1_in_channels=8,
            channels=WIDTH,
            c1_channels=8,
            num_classes=CLASSES),
        auxiliary_head=dict(in_channels=32, channels=8, num_classes=CLASSES)),
    'segformer-b0':
    dict(
        config='mmseg::segformer/'
        'segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
        data_preprocessor=PREPROCESSOR,
        backbone=dict(embed_dims=8, init_cfg=None),
        decode_head=dict(
            in_channels=STAGES['segformer-b0'],
            channels=WIDTH,
            num_classes=CLASSES)),
    'maskformer':
    dict(
        config='mmseg::maskformer/'
        'maskformer_r50-d32_8xb2-160k_ade20k-512x512.py',
        data_preprocessor=PREPROCESSOR,
        backbone=dict(RESNET, init_cfg=None),
        decode_head=dict(
            QUERIES,
            in_channels=STAGES['maskformer'],
            pixel_decoder=dict(norm_cfg=dict(num_groups=4)),
            positional_encoding=dict(num_feats=WIDTH // 2),
            loss_cls=dict(class_weight=[1.] * CLASSES + [.1]))),
}


class Method(NamedTuple):
    """A row of the matrix.

    Args:
        model (dict): Has every stage begin within a few steps.
        losses (Sequence[str]): What the method adds.
        tap (str, optional): The feature that the method's head reads.
        queries (dict, optional): Options of the ``MaskQueryHead`` that the
            method needs, whatever the network.
    """
    model: dict
    losses: Sequence[str]
    tap: Optional[str] = None
    queries: Optional[dict] = None


METHODS = dict(
    brpg=Method(
        model=dict(
            burn_in=1,
            terms=dict(
                consistency=dict(entropy_view='weak'),
                # CPG takes pixels that are predicted right, and a network
                # that has not learnt predicts one class.
                brpg=dict(
                    split=False,
                    num_prototypes=(4, ),
                    window=(1, 4),
                    threshold=0.,
                    confidence=(0., 0.)))),
        losses=['loss_proto'],
        tap='decoder'),
    cmb=Method(
        model=dict(
            mixing=dict(begin=3),
            terms=dict(
                cmb=dict(memory_start=1, contrast_start=3, threshold=0.))),
        losses=['loss_contrast', 'loss_contrast_unsup'],
        tap='pre_cls'),
    pcr=Method(
        model=dict(
            burn_in=1,
            terms=dict(
                consistency=dict(threshold=0.),
                pcr=dict(window=(1, 3), threshold=0.))),
        losses=['loss_proto', 'loss_proto_unsup'],
        tap='decoder'),
    pps=Method(
        model=dict(burn_in=1),
        losses=[
            f'student{i}.loss_{name}' for i in (1, 2)
            for name in ('sp', 'contra', 'r')
        ],
        tap='pixel_embed',
        queries=dict(class_head=False, num_queries=2 * CLASSES)),
    rc2l=Method(
        model=dict(burn_in=1),
        losses=['loss_rcc', 'loss_smc', 'loss_rmc', 'loss_rfc'],
        queries=dict()))
ONE_REGION = ('loss_rmc', 'loss_rfc')
SLIDE = ('--cfg-options', 'model.test_cfg.mode=slide',
         'model.test_cfg.crop_size=(48,48)', 'model.test_cfg.stride=(16,16)')


def segmentor_of(method, network):
    """The stock network; its decode head may serve as pixel decoder."""
    queries = METHODS[method].queries
    if queries is None:
        return NETWORKS[network]
    stock = resolve_segmentor(NETWORKS[network]).to_dict()
    head = stock['decode_head']
    if head['type'] != 'MaskQueryHead':
        head = dict(QUERIES, in_channels=STAGES[network], pixel_decoder=head)
    return dict(stock, decode_head=dict(head, **queries))


def configure(folder, root, method, network):
    """A config of the method on the network, seconds long."""
    row = METHODS[method]
    terms = dict(row.model.get('terms', {}))
    if row.tap:
        joined = row.tap == 'decoder' and network == 'deeplabv3plus'
        width = WIDTH + 8 if joined else WIDTH  # with the low-level feature
        terms[method] = dict(
            terms.get(method, {}), head=dict(in_channels=width))
    return write_config(
        folder / f'{method}.py',
        root,
        method,
        max_iters=ITERS,
        model=dict(
            row.model,
            terms=terms,
            segmentor=dict(_delete_=True, **segmentor_of(method, network))))


def run(config, folder, modes):
    """Train halfway, resume, and test in every mode."""
    train = [STOCK / 'train.py', config, '--work-dir', folder / 'train']
    often = (f'default_hooks.checkpoint.interval={HALF}',
             f'train_cfg.val_interval={ITERS}')
    finished = run_tools(
        [*train, '--cfg-options', *often, f'train_cfg.max_iters={HALF}'],
        [*train, '--cfg-options', *often, '--resume'],
        *([
            STOCK / 'test.py', config, folder / f'train/iter_{ITERS}.pth',
            '--work-dir', folder / mode, '--out', folder / mode / 'masks',
            *arguments
        ] for mode, arguments in modes.items()),
        log=folder / 'log.txt')
    assert finished.code == 0, finished.output
    assert f'resumed epoch: 0, iter: {HALF}' in finished.output


def assert_trained(folder, losses):
    """Every step is there, and the method's losses are active."""
    lines = logged(folder)
    assert {step for step, _ in lines} == set(range(1, ITERS + 1))
    last = [lines[step, False] for step in range(HALF + 1, ITERS + 1)]
    for name in losses:
        values = [line[name] for line in last]
        assert all(map(math.isfinite, values)), (name, values)
        # An image of one region has none to contrast it with.
        assert any(values) or name in ONE_REGION, (name, values)
    torch.load(folder / f'iter_{ITERS}.pth', weights_only=True)


@pytest.mark.parametrize('network', NETWORKS)
@pytest.mark.parametrize('method', METHODS)
def test_stock_tools_on_a_stock_network(method, network, tmp_path, digits):
    config = configure(tmp_path, digits, method, network)
    modes = dict(whole=(), slide=SLIDE, tta=('--tta', ))
    run(config, tmp_path, modes)
    assert_trained(tmp_path / 'train', METHODS[method].losses)

    names = (digits / 'ImageSets/Segmentation/val.txt').read_text().split()
    for mode in modes:
        (report, ) = tmp_path.glob(f'{mode}/*/*.json')
        assert 0 <= json.loads(report.read_text())['mIoU'] <= 100
        masks = sorted((tmp_path / mode / 'masks').glob('*.png'))
        assert [mask.stem for mask in masks] == sorted(names)
        assert cv2.imread(str(masks[0]), 0).shape == (64, 64)
