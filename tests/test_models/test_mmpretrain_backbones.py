# Copyright (c) mmseg_semi authors.
"""Encoders of mmpretrain, which needs a torchvision that fits torch."""
import pytest

import mmseg_semi  # noqa: F401  isort: skip
from mmseg_semi.wrapping import METHODS, as_text
from mmseg_semi.wrapping.cell import check_cell

pytest.importorskip('mmpretrain')

CONVNEXT = """
    backbone=dict(
        type='mmpretrain.ConvNeXt',
        arch=dict(depths=[1, 1, 1, 1], channels=[8, 16, 24, 32]),
        out_indices=[0, 1, 2, 3],
        gap_before_final_norm=False),
    decode_head=dict(
        type='UPerHead',
        in_channels=[8, 16, 24, 32],
        in_index=[0, 1, 2, 3],
        channels=16,
        pool_scales=(1, 2),
        num_classes=5),
"""
VIT = """
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(
            embed_dims=16, num_layers=2, num_heads=2,
            feedforward_channels=32),
        img_size=64,
        patch_size=8,
        out_type='featmap',
        out_indices=(0, 1)),
    decode_head=dict(
        type='FCNHead',
        in_channels=16,
        in_index=1,
        channels=16,
        num_classes=5),
"""


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('parts', [CONVNEXT, VIT], ids=['convnext', 'vit'])
def test_trains_as_any_other(tmp_path, parts, method):
    path = tmp_path / 'own.py'
    path.write_text(f"""
custom_imports = dict(
    imports=['mmpretrain.models'], allow_failed_imports=False)
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor'),
    {parts})
""")
    cell = check_cell('own', str(path), method)
    assert cell.ok, as_text([cell])
