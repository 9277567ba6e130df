# Copyright (c) mmseg_semi authors.
"""ONNX files say what the models say, at other sizes too."""
import json
from types import SimpleNamespace
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mmseg_semi.apis import inference_model, init_model
from mmseg_semi.exporting import GraphOptions, NotExportableError, export
from mmseg_semi.exporting.onnx_mends import (AdaptivePadding,
                                             Conv2dAdaptivePadding,
                                             exact_equivalents)
from mmseg_semi.exporting.to_onnx import check_packages
from ..test_cli.test_main import call
from .given import models, photo, write

FREE = ['batch', 'height', 'width']


class TestMends:
    """Each against what it stands for."""

    @pytest.mark.parametrize('size', [1, 3, (2, 5), (None, 4)])
    @pytest.mark.parametrize('shape', [(7, 9), (6, 6), (2, 13)])
    def test_pooling(self, size, shape):
        self.check(nn.AdaptiveAvgPool2d(size), torch.randn(2, 3, *shape))

    @pytest.mark.parametrize('kernel, stride, dilation', [(3, 2, 1), (5, 2, 1),
                                                          (3, 1, 2),
                                                          (2, 3, 1)])
    @pytest.mark.parametrize('shape', [(7, 10), (8, 9)])
    def test_convolution(self, kernel, stride, dilation, shape):
        layer = Conv2dAdaptivePadding(
            4, 6, kernel, stride=stride, dilation=dilation)
        self.check(layer, torch.randn(2, 4, *shape))

    @pytest.mark.parametrize('where', ['corner', 'same'])
    def test_padding_of_patches(self, where):
        self.check(
            AdaptivePadding(kernel_size=4, stride=4, padding=where),
            torch.randn(1, 2, 10, 15))

    @pytest.mark.parametrize('batch_first', [False, True])
    @pytest.mark.parametrize('mask', [None, 'bool', 'float'])
    @pytest.mark.parametrize('width', [8, 6])
    def test_attention(self, batch_first, mask, width):
        layer = nn.MultiheadAttention(
            8, 2, batch_first=batch_first, kdim=width, vdim=width).eval()
        query, key = torch.randn(3, 5, 8), torch.randn(3, 7, width)
        if mask is not None:
            mask = torch.rand(6, 5, 7) < .4 if mask == 'bool' else \
                torch.randn(5, 7)
        if not batch_first:
            query, key = query.transpose(0, 1), key.transpose(0, 1)

        self.check(layer, query, key, key, attn_mask=mask)

    def test_an_option_without_equivalent(self):
        layer = nn.MultiheadAttention(8, 2, add_zero_attn=True).eval()
        x = torch.randn(5, 3, 8)
        with exact_equivalents(), pytest.raises(TypeError, match='extra keys'):
            layer(x, x, x)

    @staticmethod
    def check(layer, *inputs, **kwargs):
        with torch.no_grad():
            expected = layer(*inputs, **kwargs)
            with exact_equivalents():
                found = layer(*inputs, **kwargs)
        if isinstance(expected, tuple):
            expected, found = expected[0], found[0]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_missing_packages_are_named():
    with mock.patch('importlib.util.find_spec',
                    lambda name: None), pytest.raises(
                        ModuleNotFoundError,
                        match='pip install onnx onnxruntime'):
        check_packages()


class TestFiles:

    @pytest.fixture(autouse=True)
    def packages(self):
        pytest.importorskip('onnx')
        self.onnxruntime = pytest.importorskip('onnxruntime')

    def run(self, tmp_path, name, files=None, images=None, **options):
        image = images or photo(tmp_path / 'photo.png')
        files = files or write(tmp_path, name, models()[name])
        said = []
        made = export(
            *files,
            str(tmp_path / 'out'),
            to=['onnx'],
            images=str(image),
            options=GraphOptions(**options),
            say=said.append)['onnx']
        return SimpleNamespace(
            files=files,
            image=image,
            said='\n'.join(said),
            about=made,
            session=self.onnxruntime.InferenceSession(made['model']))

    @pytest.mark.parametrize('name', [
        'deeplab', 'published', 'binary', 'pyramid', 'segformer', 'queries',
        'prototypes'
    ])
    def test_masks_of_any_size(self, tmp_path, name):
        """As a program uses it, against the stock way to predict."""
        made = self.run(tmp_path, name, pre='nhwc', post=True)
        shape = made.about['input']['shape']
        assert shape == [*FREE, 3]
        assert made.about['compared']['largest_difference'] < 1e-4
        assert 'validation images' not in made.said
        model = init_model(*made.files, device='cpu')
        other = photo(tmp_path / 'other.png', 140, 115)
        for path in (made.image, other):
            image = cv2.imread(path)
            probabilities, classes = made.session.run(None,
                                                      {'images': image[None]})
            found = inference_model(model, path)
            mask = found.pred_sem_seg.data[0].numpy()
            assert classes.dtype == np.int32
            assert (classes[0] != mask).mean() < 1e-3
            if name == 'binary':
                expected = found.seg_logits.data  # a probability already
            elif name == 'queries':
                scores = found.seg_logits.data
                expected = scores / scores.sum(0)
            else:
                expected = found.seg_logits.data.softmax(0)
            np.testing.assert_allclose(
                probabilities[0], expected.numpy(), atol=1e-4)

    def test_scores_of_normalised_images(self, tmp_path):
        made = self.run(tmp_path, 'deeplab')
        about = made.about['input']
        assert about['bands'] == 'rgb' and about['mean'] == [120., 115., 100.]
        image = cv2.imread(made.image)[..., ::-1].transpose(2, 0, 1)
        image = (image - np.reshape(about['mean'], (3, 1, 1))) / np.reshape(
            about['std'], (3, 1, 1))
        scores, = made.session.run(None,
                                   {'images': image[None].astype(np.float32)})
        model = init_model(*made.files, device='cpu')
        expected = inference_model(model, made.image).seg_logits.data.numpy()
        np.testing.assert_allclose(scores[0], expected, atol=1e-4)

    def test_layout_and_colours(self, tmp_path):
        """The same image in another order gives the same classes."""
        bgr = self.run(tmp_path / 'bgr', 'binary', pre='nhwc', post=True)
        rgb = self.run(
            tmp_path / 'rgb', 'binary', pre='nchw', colors='rgb', post=True)
        image = cv2.imread(bgr.image)
        one = bgr.session.run(None, {'images': image[None]})[0]
        planes = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))
        two = rgb.session.run(None, {'images': planes[None]})[0]
        np.testing.assert_array_equal(one, two)

    def test_windows_are_outside_or_inside(self, tmp_path):
        files = write(tmp_path, 'windows', models()['windows'])
        any_size = self.run(tmp_path, 'windows', files)
        assert 'cut windows' in any_size.said
        assert any_size.about['windows']['crop_size'] == (64, 64)
        fixed = self.run(
            tmp_path / 'fixed',
            'windows',
            files,
            pre='nhwc',
            post=True,
            size=(97, 131))
        assert fixed.about['windows_inside']
        assert fixed.about['input']['shape'] == [1, 97, 131, 3]
        model = init_model(*files, device='cpu')
        mask = inference_model(model, fixed.image).pred_sem_seg.data[0].numpy()
        classes = fixed.session.run(
            None, {'images': cv2.imread(fixed.image)[None]})[1]
        assert (classes[0] != mask).mean() < 1e-3

    def test_what_needs_one_size_says_so(self, tmp_path):
        model = models()['mask2former']
        model['segmentor']['data_preprocessor'] = dict(
            model['segmentor']['data_preprocessor'], size=(64, 96))
        made = self.run(tmp_path, 'fixed', write(tmp_path, 'fixed', model))
        assert made.about['input']['shape'] == [1, 3, 64, 96]
        assert made.about['compared']['largest_difference'] < 1e-4
        assert 'free: nothing; height x width 64 x 96 (onnx' in made.said

    def test_padding_to_a_multiple(self, tmp_path):
        model = models()['deeplab']
        model['segmentor']['data_preprocessor'] = dict(
            model['segmentor']['data_preprocessor'],
            test_cfg=dict(size_divisor=32))
        made = self.run(
            tmp_path, 'padded', write(tmp_path, 'padded', model), pre='nhwc')
        assert made.about['input']['shape'] == [*FREE, 3]
        assert made.about['compared']['largest_difference'] < 1e-4
        model['segmentor']['data_preprocessor']['test_cfg'] = dict(
            size=(64, 64))
        with pytest.raises(NotExportableError, match='one size'):
            self.run(tmp_path, 'sized', write(tmp_path, 'sized', model))

    def test_a_graph_that_differs_is_refused(self, tmp_path):
        """What a mend got wrong does not reach a file."""
        files = write(tmp_path, 'pyramid', models()['pyramid'])

        def wrong(self, x):
            return F.adaptive_avg_pool2d(x,
                                         1).expand(-1, -1,
                                                   *(self.output_size, ) * 2)

        with mock.patch('mmseg_semi.exporting.onnx_mends._pool',
                        wrong), pytest.raises(
                            NotExportableError, match='differs by'):
            self.run(tmp_path, 'pyramid', files)
        assert not (tmp_path / 'out').exists()

    def test_command(self, tmp_path, capsys):
        photo(tmp_path / 'photos' / 'photo.png')
        broken = tmp_path / 'photos' / 'page.jpg'
        broken.write_text('<html>')
        files = write(tmp_path, 'binary', models()['binary'])
        out = tmp_path / 'out'
        arguments = ['export', *files, '--to', 'onnx,mmseg', '--out', out]
        folder = broken.parent
        assert call(*arguments, '--images', folder, '--json') == 0
        printed = capsys.readouterr().out
        # A logger that the models above made prints where it was made.
        found = json.loads(printed[printed.index('{\n'):])
        assert found['onnx']['compared']['images'] == 1
        assert f'{broken}, which cannot' in found['onnx']['compared']['what']
        assert sorted(p.name for p in out.iterdir()) == [
            'binary.json', 'binary.onnx', 'binary.pth', 'binary.py'
        ]
        about = json.loads((out / 'binary.json').read_text())
        assert about['threshold'] == .4
        assert about['classes'] == ['sky', 'sea']
        assert call(*arguments) == 1
        assert 'exists' in capsys.readouterr().err
        assert call(*arguments, '--force', '--images', tmp_path / 'no') == 1
        assert 'no is no image' in capsys.readouterr().err
        assert call(*arguments, '--force', '--images', broken) == 1
        assert f'{broken} cannot be read' in capsys.readouterr().err
        assert call(*arguments, '--force', '--images', folder) == 0
        assert f'(not {broken}, which cannot' in capsys.readouterr().out


def test_misuse(capsys):
    assert call('export', 'a.py', 'b.pth') == 2
    assert '--out' in capsys.readouterr().err
    assert call('export', 'a.py', 'b.pth', '--out', 'x', '--to', 'coreml') == 1
    assert 'mmseg and onnx' in capsys.readouterr().err
