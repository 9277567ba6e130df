# Copyright (c) mmseg_semi authors.
import io

import numpy as np
import pytest
from PIL import Image

from mmseg_semi.benchmarking import report
from mmseg_semi.benchmarking.report import Example, draw_report
from mmseg_semi.datasets.digit_scenes import PALETTE


@pytest.fixture
def example(tmp_path):
    image, truth = tmp_path / 'i.png', tmp_path / 't.png'
    Image.fromarray(np.full((8, 8, 3), 9, np.uint8)).save(image)
    Image.fromarray(np.full((8, 8), 1, np.uint8)).save(truth)
    return Example('a title', str(image), str(truth), np.full((8, 8), 2),
                   np.full((8, 8), 3), np.full((8, 8), .7))


def test_columns_are_in_the_promised_order(example):
    shown = []

    class Axis:

        def imshow(self, picture, **kwargs):
            shown.append((np.asarray(picture)[0, 0].tolist(), kwargs))

        def __getattr__(self, name):
            return lambda *args, **kwargs: None

    report._draw_example([Axis() for _ in range(5)], example)
    assert [value for value, _ in shown] == [[9, 9, 9], *PALETTE[1:4], .7]
    assert (shown[-1][1]['vmin'], shown[-1][1]['vmax']) == (0, 1)


@pytest.mark.parametrize('rows', [1, 3])
def test_report_is_a_picture(example, rows):
    curves = dict(supervised=[[10, 20.], [20, 30.]], BRPG=[[10, 0.]])
    png = draw_report('title', [example] * rows, curves)
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.format == 'PNG' and picture.width > 1000
        colors = {tuple(p) for p in np.array(picture)[..., :3].reshape(-1, 3)}
    assert {tuple(color) for color in PALETTE} <= colors
