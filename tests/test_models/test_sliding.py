# Copyright (c) mmseg_semi authors.
"""Windows of sliding evaluation against loops over pixels."""
import copy
import math

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.registry import MODELS

from mmseg_semi.models.segmentors.sliding import (check_test_cfg,
                                                  slide_inference,
                                                  window_spans)
from .toys import NUM_CLASSES, SIZE, mean_teacher, sample


class Windows(torch.nn.Module):
    """Logits that tell what a window contains and where in it a pixel is."""
    out_channels = 3

    def __init__(self, **test_cfg):
        super().__init__()
        self.test_cfg = dict(mode='slide', **test_cfg)
        self.seen = []

    def encode_decode(self, window, metas):
        height, width = window.shape[2:]
        assert metas[0]['img_shape'] == window.shape[2:]
        assert isinstance(metas[0]['img_shape'], torch.Size)
        self.seen.append((height, width))
        row = torch.arange(height, dtype=window.dtype).view(1, 1, -1, 1)
        col = torch.arange(width, dtype=window.dtype).view(1, 1, 1, -1)
        mean = window.mean(dim=(1, 2, 3), keepdim=True)
        red, green, blue = window.split(1, dim=1)
        return torch.cat([
            mean + .01 * row * red, 3 * mean - .02 * col + green, blue + 0 *
            (row + col)
        ], 1)

    slide_inference = slide_inference


def images(batch, height, width):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(
        batch, 3, height, width, generator=generator, dtype=torch.float64)


def _slow_starts(length, side, stride, windows):
    """The two laws as the codes walk along an axis."""
    starts = []
    if windows == 'cut':
        at = 0
        while at < length:
            starts.append(at)
            at += stride
        return starts
    for i in range(math.ceil(max(length - side, 0) / stride) + 1):
        starts.append(max(min(i * stride + side, length) - side, 0))
    return starts


def _slow_slide(model, image, crop, stride, windows='shifted',
                average='logits', pad=False):  # yapf: disable
    """One image (3, H, W): pixel by pixel, window by window."""
    height, width = image.shape[1:]
    side = [max(crop[0], height), max(crop[1], width)
            ] if pad else image.shape[1:]
    top, left = (side[0] - height) // 2, (side[1] - width) // 2
    canvas = np.zeros((3, *side))
    canvas[:, top:top + height, left:left + width] = image
    total = np.zeros((3, *side))
    count = np.zeros(side)
    for y in _slow_starts(side[0], crop[0], stride[0], windows):
        for x in _slow_starts(side[1], crop[1], stride[1], windows):
            part = canvas[:, y:y + crop[0], x:x + crop[1]]
            meta = dict(img_shape=torch.Size(part.shape[1:]))
            logits = model.encode_decode(
                torch.from_numpy(part.copy())[None], [meta])[0].numpy()
            for dy, dx in np.ndindex(*part.shape[1:]):
                score = logits[:, dy, dx]
                if average == 'probabilities':
                    score = np.exp(score) / np.exp(score).sum()
                total[:, y + dy, x + dx] += score
                count[y + dy, x + dx] += 1
    mean = total / count
    if average == 'probabilities':
        mean = np.log(mean)
    return mean[:, top:top + height, left:left + width]


@pytest.mark.parametrize('size', [(9, 9), (10, 17), (24, 11), (7, 5), (9, 14)])
@pytest.mark.parametrize('windows', ['shifted', 'cut'])
@pytest.mark.parametrize('average', ['logits', 'probabilities'])
@pytest.mark.parametrize('pad', [False, True])
def test_equals_a_slow_walk(size, windows, average, pad):
    cfg = dict(crop_size=(9, 10), stride=(6, 7))
    model = Windows(windows=windows, average=average, pad_to_crop=pad, **cfg)
    inputs = images(2, *size)
    ours = model.slide_inference(inputs, [dict(), dict()])
    for b in range(2):
        slow = _slow_slide(model, inputs[b].numpy(), (9, 10), (6, 7), windows,
                           average, pad)
        np.testing.assert_allclose(ours[b].numpy(), slow, atol=1e-9)


def test_the_options_differ():
    """Each of them changes the result, so none can be dropped unseen."""
    cfg = dict(crop_size=(9, 9), stride=(6, 6))
    inputs = images(1, 7, 17)
    plain = Windows(**cfg).slide_inference(inputs, [dict()])
    for option in (dict(windows='cut'), dict(average='probabilities'),
                   dict(pad_to_crop=True)):
        other = Windows(**cfg, **option).slide_inference(inputs, [dict()])
        assert other.shape == plain.shape
        assert not torch.allclose(other, plain)


@pytest.mark.parametrize('size', [(30, 47), (12, 40), (7, 9)])
def test_the_defaults_are_stock(size):
    cfg = dict(crop_size=(16, 16), stride=(11, 11))
    inputs = images(2, *size)
    ours = Windows(**cfg).slide_inference(inputs, [dict(), dict()])
    stock = Windows()
    stock.test_cfg = ConfigDict(cfg)
    theirs = MODELS.get('EncoderDecoder').slide_inference(
        stock, inputs, [dict(), dict()])
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize('length, side, stride, windows, starts', [
    (1024, 801, 534, 'cut', [0, 534]),
    (2048, 801, 534, 'cut', [0, 534, 1068, 1602]),
    (2048, 801, 534, 'shifted', [0, 534, 1068, 1247]),
    (801, 801, 534, 'cut', [0, 534]),
    (2048, 800, 534, 'shifted', [0, 534, 1068, 1248]),
    (1024, 800, 534, 'shifted', [0, 224]),
    (512, 512, 342, 'shifted', [0]),
    (500, 512, 342, 'shifted', [0]),
])
def test_windows_of_the_papers(length, side, stride, windows, starts):
    spans = window_spans(length, side, stride, windows)
    assert [start for start, _ in spans] == starts
    assert starts == _slow_starts(length, side, stride, windows)
    assert all(end == min(start + side, length) for start, end in spans)


def test_small_images_of_cps_are_one_padded_window():
    model = Windows(crop_size=(512, 512), stride=(342, 342), pad_to_crop=True)
    result = model.slide_inference(images(1, 375, 500), [dict()])
    assert model.seen == [(512, 512)] and result.shape == (1, 3, 375, 500)


@pytest.mark.parametrize('classes', [1, NUM_CLASSES])
def test_probabilities_come_back_as_logits(classes):
    """TTA averages the softmax (sigmoid) of what is returned."""

    class Flat(Windows):
        out_channels = classes

        def encode_decode(self, window, metas):
            base = torch.tensor([90., -90., 0., 1.])[:classes]
            return base.view(1, -1, 1, 1) + 0 * window[:, :1]

    model = Flat(crop_size=(5, 5), stride=(4, 4), average='probabilities')
    logits = model.slide_inference(torch.zeros(1, 3, 6, 6), [dict()])
    assert logits.isfinite().all()
    back = logits.sigmoid() if classes == 1 else logits.softmax(1)
    assert back[:, 0].min() > .999


@pytest.mark.parametrize('wrong, message', [
    (dict(mode='sliding'), "mode='sliding' is not one of"),
    (dict(mode='slide', crop_size=(9, 9)), "needs \\['stride'\\]"),
    (dict(mode='slide', crop_size=(9, 9),
          stride=(9, 10)), 'at most crop_size'),
    (dict(mode='slide', crop_size=(9, 9), stride=(0, 3)), 'above 0'),
    (dict(mode='whole', windows='stock'), "windows='stock' is not one of"),
    (dict(average='softmax'), "average='softmax' is not one of"),
    (dict(pad_to_crop='mean'), "pad_to_crop='mean'"),
    (dict(mode='slide', crop_size=32, stride=(16, 16)), 'crop_size=32 is no'),
    (dict(mode='slide', crop_size=(32, 32), stride=16), 'stride=16 is no'),
    (dict(mode='slide', crop_size=(3, 3, 3), stride=(1, 1)), 'is no pair'),
])
def test_bad_options(wrong, message):
    with pytest.raises(ValueError, match=message):
        check_test_cfg(wrong)


def test_refused_when_the_model_is_built():
    with pytest.raises(ValueError, match='windows'):
        mean_teacher(test_cfg=dict(mode='whole', windows='shift'))


@pytest.mark.parametrize('option', [
    dict(windows='cut'),
    dict(average='probabilities'),
    dict(pad_to_crop=True)
])
def test_a_model_predicts_batches_and_averages_views(option):
    """Through `predict`, as tools/test.py, and through SegTTAModel."""
    cfg = dict(mode='slide', crop_size=(33, 33), stride=(22, 22), **option)
    model = mean_teacher(test_cfg=cfg).eval()
    with torch.no_grad():
        model.teacher.decode_head.conv_seg.weight.normal_()
    size = (29, 49)
    inputs = images(3, *size).float()
    meta = dict(img_shape=size, ori_shape=size, pad_shape=size, img_path='a')
    samples = [sample() for _ in inputs]
    for each in samples:
        each.set_metainfo(meta)
    together = model.predict(inputs, copy.deepcopy(samples))
    for i, one in enumerate(together):
        alone, = model.predict(inputs[i:i + 1], copy.deepcopy(samples[:1]))
        assert one.seg_logits.shape == size
        torch.testing.assert_close(one.seg_logits.data, alone.seg_logits.data)
    plain = mean_teacher(test_cfg={
        name: value for name, value in cfg.items() if name not in option
    }).eval()  # yapf: disable
    plain.load_state_dict(model.state_dict())
    other = plain.predict(inputs, copy.deepcopy(samples))
    assert not torch.allclose(together[0].seg_logits.data,
                              other[0].seg_logits.data)
    tta = MODELS.build(dict(type='SegTTAModel', module=model))
    views = []
    for flip in (False, True):
        view = copy.deepcopy(samples[0])
        view.set_metainfo(dict(flip=flip, flip_direction='horizontal'))
        views.append(view)
    merged, = tta.test_step(
        dict(
            inputs=[inputs[:1], inputs[:1].flip(-1)],
            data_samples=[[view] for view in views]))
    assert merged.pred_sem_seg.shape == size and SIZE == 33
