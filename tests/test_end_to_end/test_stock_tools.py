# Copyright (c) mmseg_semi authors.
"""MMSegmentation's own tools and API drive our configs and checkpoints."""
import json
import signal

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import MODELS
from PIL import Image

from mmseg_semi.apis import MMSegInferencer, inference_model, init_model
from mmseg_semi.evaluation import evaluation_protocol
from .harness import MAX_ITERS, STOCK, kill_at, run_tool, write_config
from .states import differing, training_state

pytestmark = pytest.mark.slow

SIDE = 120  # above the side of an image
SLIDE = dict(mode='slide', crop_size=(48, 48), stride=(16, 16))


class Trained:
    """A BRPG model trained by the stock tool."""

    def __init__(self, folder, root):
        self.folder, self.root = folder, root
        self.config = write_config(folder / 'brpg.py', root)
        self.work_dir = folder / 'work'
        self.checkpoint = self.work_dir / f'iter_{MAX_ITERS}.pth'
        names = root / 'ImageSets/Segmentation/val.txt'
        self.names = names.read_text().split()

    def image(self, name):
        return str(self.root / f'JPEGImages/{name}.jpg')

    def model(self, **test_cfg):
        cfg = Config.fromfile(self.config)
        if test_cfg:
            cfg.model.test_cfg = test_cfg
        return init_model(cfg, str(self.checkpoint), device='cpu')


@pytest.fixture(scope='module')
def trained(tmp_path_factory, digits):
    trained = Trained(tmp_path_factory.mktemp('stock'), digits)
    finished = run_tool(
        STOCK / 'train.py',
        trained.config,
        '--work-dir',
        trained.work_dir,
        log=trained.folder / 'train.txt')
    assert finished.code == 0, finished.output
    return trained


def stock_test(trained, folder, *arguments, config=None):
    """Predicted masks by image name, and the metrics."""
    finished = run_tool(
        STOCK / 'test.py',
        config or trained.config,
        trained.checkpoint,
        '--work-dir',
        folder / 'work',
        '--out',
        folder / 'masks',
        *arguments,
        log=folder / 'log.txt')
    assert finished.code == 0, finished.output
    (report, ) = folder.glob('work/*/*.json')
    masks = {
        path.stem: cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for path in folder.glob('masks/*.png')
    }
    assert sorted(masks) == sorted(trained.names)
    return masks, json.loads(report.read_text())


def predict(trained, model):
    return {
        name:
        inference_model(model,
                        trained.image(name)).pred_sem_seg.data[0].numpy()
        for name in trained.names
    }


def assert_equal_masks(one, other):
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], name)


def differ(one, other):
    return any((one[name] != other[name]).any() for name in one)


def test_checkpoint_is_safe_and_complete(trained):
    content = torch.load(trained.checkpoint, weights_only=True)
    state = content['state_dict']
    student = {k[8:] for k in state if k.startswith('student.')}
    assert student and student == {
        k[8:]
        for k in state if k.startswith('teacher.')
    }
    assert state['_iteration'] == MAX_ITERS
    assert state['student.semi_heads.brpg.prototype_valid'].any()
    for name in ('features', 'confidence', 'pointer', 'count'):
        for group in ('high', 'low'):
            assert f'terms.brpg.banks.banks.{group}.{name}' in state
    assert 'terms.brpg.class_confidence' in state
    assert content['meta']['dataset_meta']['classes'][0] == 'background'


def test_stock_train_resumes_a_killed_run(trained, tmp_path):
    """Its own --resume, from the newest checkpoint, and exactly."""
    config = write_config(
        tmp_path / 'killed.py',
        trained.root,
        extra=kill_at('before_train_iter', 8))
    arguments = ('--work-dir', tmp_path / 'work')
    log = tmp_path / 'log.txt'
    finished = run_tool(STOCK / 'train.py', config, *arguments, log=log)
    assert finished.code == -signal.SIGKILL, finished.output
    finished = run_tool(
        STOCK / 'train.py', trained.config, *arguments, '--resume', log=log)
    assert finished.code == 0, finished.output
    resumed = tmp_path / 'work' / trained.checkpoint.name
    places = differing(*(training_state(torch.load(path, weights_only=True))
                         for path in (trained.checkpoint, resumed)))
    assert not places


def test_stock_test_whole_and_slide(trained, tmp_path):
    """Both modes, as init_model and inference_model predict."""
    whole, scores = stock_test(trained, tmp_path / 'whole')
    assert_equal_masks(whole, predict(trained, trained.model()))
    options = [f'model.test_cfg.{k}={v}' for k, v in SLIDE.items()]
    slide, _ = stock_test(trained, tmp_path / 'slide', '--cfg-options',
                          *(option.replace(' ', '') for option in options))
    assert_equal_masks(slide, predict(trained, trained.model(**SLIDE)))
    assert differ(whole, slide)
    (log, ) = trained.work_dir.glob('*/vis_data/scalars.json')
    last = json.loads(log.read_text().splitlines()[-1])
    assert scores['mIoU'] == last['mIoU']


def test_stock_test_laws_of_windows(trained, tmp_path):
    """Every option reaches the tool."""
    law = dict(SLIDE, windows='cut', average='probabilities', pad_to_crop=True)
    options = [f'model.test_cfg.{k}={v}' for k, v in law.items()]
    masks, _ = stock_test(trained, tmp_path / 'cut', '--cfg-options',
                          *(option.replace(' ', '') for option in options))
    assert_equal_masks(masks, predict(trained, trained.model(**law)))
    assert differ(masks, predict(trained, trained.model(**SLIDE)))


def test_stock_test_of_padded_images(trained, tmp_path):
    """Masks have the padded size, and the score counts the border."""
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations'),
        dict(type='PadCenterCrop', crop_size=SIDE),
        dict(type='PackSegInputs')
    ]
    config = write_config(
        tmp_path / 'padded.py',
        trained.root,
        extra=f"eval_protocol = 'padded-{SIDE}'\n"
        f"test_dataloader['dataset'].update(pipeline={pipeline})\n")
    assert evaluation_protocol(Config.fromfile(config),
                               'test_dataloader') == f'padded-{SIDE}'
    masks, scores = stock_test(trained, tmp_path / 'padded', config=config)
    intersect, union = np.zeros(11), np.zeros(11)
    for name, mask in masks.items():
        assert mask.shape == (SIDE, SIDE)
        path = trained.root / f'SegmentationClass/{name}.png'
        label = np.array(Image.open(path))
        rows, cols = ((SIDE - side) // 2 for side in label.shape)
        padded = np.zeros((SIDE, SIDE), np.uint8)
        padded[rows:rows + label.shape[0], cols:cols + label.shape[1]] = label
        for c in range(11):
            known = padded != 255
            intersect[c] += ((mask == c) & (padded == c) & known).sum()
            union[c] += (((mask == c) | (padded == c)) & known).sum()
    with np.errstate(invalid='ignore'):
        miou = 100 * np.nanmean(intersect / union)
    assert scores['mIoU'] == pytest.approx(miou, abs=.006)
    image = trained.image(trained.names[0])
    inferencer = MMSegInferencer(
        model=config, weights=str(trained.checkpoint), device='cpu')
    assert inferencer(image)['predictions'].shape == cv2.imread(
        image).shape[:2]


def test_stock_test_tta(trained, tmp_path):
    """The mean of the softmax over both scales of the config."""
    masks, _ = stock_test(trained, tmp_path / 'tta', '--tta')
    probabilities = {name: 0 for name in trained.names}
    for scale in (1., 1.25):
        model = trained.model()
        model.cfg.test_pipeline.insert(
            1, dict(type='Resize', scale_factor=scale, keep_ratio=True))
        for name in trained.names:
            result = inference_model(model, trained.image(name))
            probabilities[name] += result.seg_logits.data.softmax(0)
    assert_equal_masks(masks, {
        k: v.argmax(0).numpy()
        for k, v in probabilities.items()
    })


def test_prediction_is_the_teachers(trained):
    """The branch that the paper evaluates, and the inferencer agrees."""
    model = trained.model()
    image = trained.image(trained.names[0])
    found = inference_model(model, image)
    plain = MODELS.build(plain_segmentor(trained))
    plain.load_state_dict({
        key.removeprefix('teacher.'): value
        for key, value in model.state_dict().items()
        if key.startswith('teacher.') and 'semi_heads' not in key
    })
    plain.cfg, plain.dataset_meta = model.cfg, model.dataset_meta
    expected = inference_model(plain.eval(), image)
    torch.testing.assert_close(
        found.seg_logits.data, expected.seg_logits.data, rtol=0, atol=0)
    inferencer = MMSegInferencer(
        model=trained.config, weights=str(trained.checkpoint), device='cpu')
    np.testing.assert_array_equal(
        inferencer(image)['predictions'], found.pred_sem_seg.data[0].numpy())


def plain_segmentor(trained):
    return Config.fromfile(trained.config).model.segmentor


class Capture(Hook):
    """Keeps the state with which training begins."""

    def before_train(self, runner):
        self.state = {
            key: value.clone()
            for key, value in runner.model.state_dict().items()
        }


def test_plain_checkpoint_is_loaded_into_student_and_teacher(
        trained, tmp_path):
    torch.manual_seed(1)
    plain = MODELS.build(plain_segmentor(trained))
    plain.init_weights()
    path = tmp_path / 'plain.pth'
    torch.save(dict(meta={}, state_dict=plain.state_dict()), path)
    cfg = Config.fromfile(
        write_config(tmp_path / 'c.py', trained.root, max_iters=1))
    cfg.update(
        work_dir=str(tmp_path / 'work'),
        load_from=str(path),
        experiment_name=tmp_path.name)
    runner = Runner.from_cfg(cfg)
    capture = Capture()
    runner.register_hook(capture)
    runner.train()
    for name, value in plain.state_dict().items():
        for net in ('student', 'teacher'):
            assert torch.equal(capture.state[f'{net}.{name}'], value), name
