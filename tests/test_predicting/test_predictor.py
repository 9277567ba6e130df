# Copyright (c) mmseg_semi authors.
import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmseg_semi.datasets.errors import UnreadableImageError
from mmseg_semi.engine import CheckpointError
from mmseg_semi.predicting import Predictor
from ..test_models.toys import mean_teacher_cfg, segmentor
from .given import PIPELINE, files, picture, plain, save, stock

SLIDE = dict(mode='slide', crop_size=(24, 32), stride=(16, 24))


@pytest.mark.parametrize('changes', [{}, dict(test_cfg=SLIDE)])
@pytest.mark.parametrize('model', [
    'plain', 'local', 'binary', 'queries', 'teacher', 'binary_teacher', 'brpg'
])
def test_equals_inference_model(tmp_path, model, changes):
    config, checkpoint = files(tmp_path, model, **changes)
    path = save(tmp_path / 'a.png')
    found = Predictor(config, checkpoint, device='cpu')(path, True)
    expected = stock(config, checkpoint, path)
    classes = expected.pred_sem_seg.data[0].numpy()
    assert len(np.unique(classes)) > 1
    assert np.array_equal(found.classes, classes)
    assert found.classes.dtype == np.uint8
    assert found.confidence.dtype == np.float32
    assert np.array_equal(found.confidence, found.probabilities.max(0))
    assert 0 < found.confidence.min() and found.confidence.max() <= 1


def test_one_channel_is_two_classes_by_its_threshold(tmp_path):
    config, checkpoint = files(tmp_path, 'binary')
    predictor = Predictor(config, checkpoint, device='cpu')
    found = predictor(picture(), True)
    assert predictor.num_classes == 2 == len(found.probabilities)
    assert np.array_equal(found.classes, found.probabilities[1] > .4)
    low, high = found.probabilities
    assert np.allclose(low + high, 1)
    assert np.array_equal(found.confidence, np.maximum(low, high))
    assert (found.classes != (high > .5)).any()


def test_queries_say_shares_of_masks(tmp_path):
    config, checkpoint = files(tmp_path, 'queries')
    found = Predictor(config, checkpoint, device='cpu')(picture(), True)
    scores = stock(config, checkpoint, picture()).seg_logits.data.numpy()
    assert np.allclose(found.probabilities, scores.clip(0, 1))
    assert abs(found.probabilities.sum(0) - 1).max() > .01


def test_array_and_file_are_the_same_again_and_again(tmp_path):
    config, checkpoint = files(tmp_path, 'teacher')
    path = save(tmp_path / 'a.png')
    cfg = Config.fromfile(config)
    before = copy.deepcopy(cfg.to_dict())
    predictor = Predictor(cfg, checkpoint, device='cpu')
    first, array, second = predictor.predict_many([path, picture(), path])
    for other in (array, second):
        assert np.array_equal(first.classes, other.classes)
        assert np.array_equal(first.confidence, other.confidence)
    assert cfg.to_dict() == before
    grey = predictor(picture()[..., 0])
    three = predictor(np.repeat(picture()[..., :1], 3, axis=2))
    assert np.array_equal(grey.classes, three.classes)


def test_student_teacher_and_prototypes_differ(tmp_path):
    config, checkpoint = files(tmp_path, 'brpg')
    given = [{},
             dict(network='teacher'),
             dict(network='student'),
             dict(head='brpg')]
    first, teacher, student, head = (
        Predictor(config, checkpoint, device='cpu', **one)(picture())
        for one in given)
    assert np.array_equal(first.classes, teacher.classes)
    assert (student.classes != teacher.classes).any()
    assert (head.classes != teacher.classes).any()


def test_what_was_asked_for_must_be_there(tmp_path):
    config, checkpoint = files(tmp_path, 'teacher')
    with pytest.raises(ValueError, match=r"use one of \['student', 'teacher'"):
        Predictor(config, checkpoint, network='techer')
    with pytest.raises(ValueError, match='has none beside'):
        Predictor(config, checkpoint, head='brpg')
    with pytest.raises(ValueError, match='is no device'):
        Predictor(config, checkpoint, device='gpu')
    with pytest.raises(ValueError, match='There is no device cuda:99'):
        Predictor(config, checkpoint, device='cuda:99')


def test_augmentation_averages_probabilities(tmp_path):
    flip = dict(type='RandomFlip', direction='horizontal')
    tta = [
        PIPELINE[0],
        dict(
            type='TestTimeAug',
            transforms=[[dict(flip, prob=0.),
                         dict(flip, prob=1.)], [dict(type='LoadAnnotations')],
                        [dict(type='PackSegInputs')]])
    ]
    config, checkpoint = files(tmp_path, 'plain')
    cfg = Config.fromfile(config)
    cfg.tta_pipeline = tta
    both = Predictor(cfg, checkpoint, device='cpu', tta=True)(picture(), True)
    single = Predictor(cfg, checkpoint, device='cpu')
    one, other = single(picture(), True), single(picture()[:, ::-1], True)
    mean = (one.probabilities + other.probabilities[..., ::-1]) / 2
    assert np.allclose(both.probabilities, mean, atol=1e-5)
    assert (both.classes != one.classes).any()
    default = Predictor(config, checkpoint, device='cpu', tta=True)
    assert (default(picture()).classes != both.classes).any()


def test_classes_are_those_of_the_checkpoint_else_of_the_config(tmp_path):
    meta = dict(
        dataset_meta=dict(classes=list('abcd'), palette=[[9, 8, 7]] * 4))
    found = Predictor(*files(tmp_path / '1', 'plain', meta=meta))
    assert found.classes == tuple('abcd') and found.palette[3] == [9, 8, 7]
    found = Predictor(*files(tmp_path / '2', 'plain'))
    assert found.classes == tuple('0123') and found.palette[1] == [128, 0, 0]
    config, checkpoint = files(tmp_path / '3', 'plain')
    cfg = Config.fromfile(config)
    cfg.val_dataloader = dict(
        dataset=dict(
            type='BaseSegDataset', metainfo=dict(classes=tuple('wxyz'))))
    assert Predictor(cfg, checkpoint).classes == tuple('wxyz')


def test_bands_in_the_numbers_of_the_files(tmp_path):
    pipeline = [
        dict(type='LoadBands', bands=4, range=(0, 4095)), *PIPELINE[1:]
    ]
    cfg = mean_teacher_cfg(segmentor=segmentor())
    cfg['data_preprocessor'] = dict(mean=[120.] * 4, std=[60.] * 4)
    predictor = Predictor(
        *files(tmp_path, cfg, pipeline=pipeline), device='cpu')
    image = picture(bands=4).astype(np.uint16) * 16
    tifffile = pytest.importorskip('tifffile')
    path = str(tmp_path / 'a.tif')
    tifffile.imwrite(
        path, image, photometric='minisblack', planarconfig='contig')
    found = predictor(path)
    assert np.array_equal(found.classes, predictor(image).classes)
    with pytest.raises(UnreadableImageError, match='has 3 bands, LoadBands'):
        predictor(picture())


@pytest.mark.parametrize('image, error, text', [
    ('absent.jpg', FileNotFoundError, 'no image absent.jpg'),
    ('broken.png', UnreadableImageError, 'broken.png is not a whole image'),
    (7, TypeError, 'not int'),
    (np.zeros(5), UnreadableImageError, r'\(5,\)'),
    (picture(bands=2), UnreadableImageError, 'has 2 bands, the model reads 3'),
])
def test_no_image(tmp_path, monkeypatch, image, error, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'broken.png').write_bytes(b'\x89PNG\r\n\x1a\n1234')
    predictor = Predictor(*files(tmp_path, 'plain'), device='cpu')
    with pytest.raises(error, match=text):
        predictor(image)


@pytest.mark.parametrize('model', ['plain', 'teacher'])
def test_checkpoint_of_other_classes(tmp_path, model):
    config, _ = files(tmp_path / 'here', model)
    five = plain()
    five['decode_head']['num_classes'] = 5
    if model == 'teacher':
        five = mean_teacher_cfg(segmentor=five)
    _, checkpoint = files(tmp_path / 'there', five)
    with pytest.raises(CheckpointError, match='another number of classes'):
        Predictor(config, checkpoint)


def test_checkpoint_of_other_bands(tmp_path):
    cfg = mean_teacher_cfg(segmentor=segmentor())
    cfg['data_preprocessor'] = dict(mean=[120.] * 4, std=[60.] * 4)
    four = files(tmp_path / 'four', cfg)
    for model in ('teacher', 'plain'):
        three = files(tmp_path / 'three', model)
        with pytest.raises(CheckpointError, match='of 3 bands, .* is for 4'):
            Predictor(four[0], three[1])
    backbone = dict(plain()['backbone'], in_channels=4)
    five = files(tmp_path / 'five', plain(backbone=backbone))
    with pytest.raises(CheckpointError, match='of 3 bands, .* is for 4'):
        Predictor(five[0], three[1])


def test_checkpoint_of_another_model(tmp_path):
    config, _ = files(tmp_path / 'a', 'local')
    _, other = files(tmp_path / 'b', 'plain')
    with pytest.raises(CheckpointError, match='lacks|another shape'):
        Predictor(config, other)


def test_config_and_checkpoint_in_their_places(tmp_path):
    config, checkpoint = files(tmp_path, 'plain')
    with pytest.raises(ValueError, match='its config comes first'):
        Predictor(checkpoint, config)
    with pytest.raises(ValueError, match='no work directory'):
        Predictor(config)
    with pytest.raises(ValueError, match='needs the checkpoint'):
        Predictor(Config.fromfile(config))
    (tmp_path / '2026/vis_data').mkdir(parents=True)
    (tmp_path / '2026/vis_data/config.py').write_text('')
    with pytest.raises(ValueError, match=f'work directory {tmp_path} does'):
        Predictor(checkpoint)


def test_work_directory(tmp_path):
    config, checkpoint = files(tmp_path, 'teacher')
    (tmp_path / '2026/vis_data').mkdir(parents=True)
    content = torch.load(checkpoint)
    text = open(config).read()
    (tmp_path / '2026/vis_data/config.py').write_text(text)
    torch.save(dict(content, optimizer={}), tmp_path / 'iter_8.pth')
    for value in content['state_dict'].values():
        if value.dtype.is_floating_point:
            value *= 1.1
    torch.save(content, tmp_path / 'best_mIoU_iter_4.pth')
    names = [
        Predictor(tmp_path, given).checkpoint.rpartition('/')[2]
        for given in (None, 'last', 'best', checkpoint)
    ]
    assert names == [
        'iter_8.pth', 'iter_8.pth', 'best_mIoU_iter_4.pth', 'weights.pth'
    ]


def test_no_test_pipeline(tmp_path):
    config, checkpoint = files(tmp_path, 'plain')
    cfg = Config.fromfile(config)
    cfg.pop('test_pipeline')
    with pytest.raises(ValueError, match='neither test_pipeline nor'):
        Predictor(cfg, checkpoint)
    cfg.test_pipeline = [dict(type='PackSegInputs')]
    with pytest.raises(ValueError, match='begins with PackSegInputs'):
        Predictor(cfg, checkpoint)
    cfg.test_pipeline = PIPELINE
    cfg.pop('model')
    with pytest.raises(ValueError, match='defines no model'):
        Predictor(cfg, checkpoint)
