# Copyright (c) mmseg_semi authors.
"""Images that do not fit into one batch are named."""
import pytest
import torch
from mmseg.structures import SegDataSample

from mmseg_semi.models.data_preprocessor import SemiDataPreProcessor


def batch(*shapes):
    samples = [
        SegDataSample(metainfo=dict(img_path=f'{i}.png', img_shape=shape[1:]))
        for i, shape in enumerate(shapes)
    ]
    inputs = [torch.zeros(shape, dtype=torch.uint8) for shape in shapes]
    return dict(inputs=inputs, data_samples=samples)


def preprocessor(mean=(0., 0., 0.)):
    return SemiDataPreProcessor(mean=mean, std=[1.] * len(mean))


def test_images_of_several_sizes_are_not_scored_in_one_batch():
    data = batch((3, 8, 6), (3, 8, 6), (3, 8, 9))
    with pytest.raises(ValueError) as caught:
        preprocessor()(data)
    text = str(caught.value)
    assert '0.png 6 x 8, 2.png 9 x 8' in text and 'batch_size=1' in text
    assert preprocessor()(batch((3, 8, 6)))['inputs'].shape == (1, 3, 8, 6)


def test_other_bands_than_means():
    with pytest.raises(ValueError, match='1.png has 1 bands'):
        preprocessor()(batch((3, 8, 6), (1, 8, 6)))
