# Copyright (c) mmseg_semi authors.
"""Exported models give the same masks where this package is not."""
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmseg_semi.apis import inference_model, init_model
from mmseg_semi.exporting import NotExportableError, export, load_exportable
from mmseg_semi.exporting.plain_model import plain_model, plain_weights
from mmseg_semi.exporting.to_mmseg import check_equal
from .given import CLASSES, models, photo, write

ALONE = Path(__file__).with_name('alone.py')
BROUGHT = dict(
    published={'PublishedDeepLabV3PlusHead'},
    lite={'EfficientNetLite', 'PublishedFCNHead'},
    windows={'EfficientNetLite', 'PublishedFCNHead', 'WindowedEncoderDecoder'},
    queries={'MaskQueryHead'},
    mask2former={'Mask2FormerQueryHead'},
    prototypes={
        'PrototypeHead', 'PublishedDeepLabV3PlusHead', 'TappedPrototypeHead'
    })


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp('trained')
    return {
        name: write(folder, name, model)
        for name, model in models().items()
    }


@pytest.fixture(scope='module')
def exported(trained, tmp_path_factory):
    """What was said of each; predictions lie beside."""
    folder = tmp_path_factory.mktemp('exported')
    image = photo(folder / 'photo.png')
    said = {
        name: export(*files, str(folder), to=['mmseg'], say=lambda line: None)
        for name, files in trained.items()
    }
    configs = [said[name]['mmseg']['config'] for name in said]
    found = subprocess.run(
        [sys.executable, '-S', str(ALONE), sysconfig.get_paths()['purelib'],
         image, *configs],
        cwd=folder,
        env=dict(PATH='', OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
        timeout=600)  # yapf: disable
    assert found.returncode == 0, found.stderr[-3000:]
    return said, image


@pytest.mark.parametrize('name', list(models()))
def test_masks_are_equal_without_the_package(trained, exported, name):
    said, image = exported
    config = Path(said[name]['mmseg']['config'])
    alone = np.load(config.with_suffix('.npz'))
    ours = inference_model(init_model(*trained[name], device='cpu'), image)
    np.testing.assert_array_equal(ours.pred_sem_seg.data[0].numpy(),
                                  alone['mask'])
    np.testing.assert_array_equal(ours.seg_logits.data.numpy(),
                                  alone['scores'])
    assert alone['scores'].std() > 1e-3  # something to compare
    assert list(alone['classes']) == list(CLASSES[:len(alone['classes'])])
    assert all(
        key.split('.')[0] in ('backbone', 'decode_head')
        for key in alone['keys'])


@pytest.mark.parametrize('name', list(models()))
def test_nothing_of_the_package_is_left(exported, name):
    made = exported[0][name]['mmseg']
    assert 'mmseg_semi' not in Path(made['config']).read_text()
    assert set(made['classes']) == BROUGHT.get(name, set())
    assert (made['parts'] is not None) == (name in BROUGHT)
    cfg = Config.fromfile(made['config'], import_custom_modules=False)
    assert cfg.val_evaluator.type == 'IoUMetric'
    assert cfg.test_pipeline[0].type == 'LoadImageFromFile'
    content = torch.load(made['checkpoint'], weights_only=True)
    assert set(content) == {'state_dict', 'meta'}


def test_the_network_that_was_named(trained, exported, tmp_path):
    made = export(
        *trained['deeplab'],
        str(tmp_path),
        to=['mmseg'],
        network='student',
        say=lambda line: None)
    assert made['network'] == 'student'
    student, teacher = (
        torch.load(m['mmseg']['checkpoint'], weights_only=True)['state_dict']
        for m in (made, exported[0]['deeplab']))
    ours = torch.load(trained['deeplab'][1], weights_only=True)['state_dict']
    key = 'decode_head.conv_seg.weight'
    assert torch.equal(student[key], ours[f'student.{key}'])
    assert torch.equal(teacher[key], ours[f'teacher.{key}'])
    assert not torch.equal(student[key], teacher[key])


def test_a_plain_model_that_differs_is_not_written(trained):
    exportable = load_exportable(*trained['windows'])
    cfg, weights = plain_model(exportable), plain_weights(exportable)
    check_equal(exportable, cfg, weights)
    cfg.test_cfg.windows = 'shifted'
    with pytest.raises(NotExportableError, match='scores differently'):
        check_equal(exportable, cfg, weights)
    weights.popitem()
    with pytest.raises(NotExportableError, match='does not take'):
        check_equal(exportable, cfg, weights)


class TestRefused:

    def run(self, trained, tmp_path, name='deeplab', **kwargs):
        options = {'to': ['mmseg'], 'say': lambda line: None, **kwargs}
        config, checkpoint = trained[name]
        return export(
            options.pop('config', config), options.pop('checkpoint',
                                                       checkpoint),
            options.pop('out', str(tmp_path)), **options)

    def test_nothing_is_overwritten(self, trained, tmp_path):
        mine = tmp_path / 'deeplab.pth'
        mine.write_text('mine')
        with pytest.raises(FileExistsError, match='deeplab.pth exists'):
            self.run(trained, tmp_path)
        assert [p.name for p in tmp_path.iterdir()] == ['deeplab.pth']
        assert mine.read_text() == 'mine'
        self.run(trained, tmp_path, force=True)
        assert torch.load(mine, weights_only=True)['state_dict']

    @pytest.mark.parametrize('kind, text, options', [
        (ValueError, 'mmseg and onnx', dict(to=['tflite'])),
        (ValueError, 'mmseg and onnx', dict(to=[])),
        (ValueError, 'has student and teacher', dict(network='coach')),
        (FileNotFoundError, 'no checkpoint absent.pth',
         dict(checkpoint='absent.pth')),
    ])
    def test_misuse(self, trained, tmp_path, kind, text, options):
        with pytest.raises(kind, match=text):
            self.run(trained, tmp_path, **options)
        assert not list(tmp_path.iterdir())

    def test_a_file_in_place_of_the_folder(self, trained, tmp_path):
        (tmp_path / 'file').write_text('')
        with pytest.raises(NotADirectoryError, match='is a file'):
            self.run(trained, tmp_path, out=str(tmp_path / 'file' / 'out'))

    def test_a_folder_of_somebody_else(self, trained, tmp_path, monkeypatch):
        monkeypatch.setattr('os.access', lambda path, mode: False)
        with pytest.raises(PermissionError, match='cannot be written'):
            self.run(trained, tmp_path)

    def test_other_classes(self, trained, tmp_path):
        model = models()['deeplab']
        model['num_classes'] = 7
        config, _ = write(tmp_path, 'seven', model)
        with pytest.raises(RuntimeError, match='another number of classes'):
            self.run(trained, tmp_path, config=config, out='unused')

    def test_weights_of_another_model(self, trained, tmp_path):
        with pytest.raises(RuntimeError, match='lacks|shape|fits neither'):
            self.run(
                trained,
                tmp_path,
                checkpoint=trained['segformer'][1],
                out='unused')


@pytest.mark.filterwarnings('error')
def test_of_a_work_directory_the_files_have_its_name(trained, tmp_path):
    config, checkpoint = map(Path, trained['published'])
    run = tmp_path / 'leaves' / '20260101_000000' / 'vis_data'
    run.mkdir(parents=True)
    (run / 'config.py').write_text(config.read_text())
    (tmp_path / 'leaves' / 'best_mIoU_iter_3.pth').write_bytes(
        checkpoint.read_bytes())
    made = export(
        str(tmp_path / 'leaves'),
        'best',
        str(tmp_path / 'out'),
        to=['mmseg'],
        say=lambda line: None)['mmseg']
    assert Path(made['config']).name == 'leaves.py'
    assert Path(made['checkpoint']).name == 'leaves.pth'
