# Copyright (c) mmseg_semi authors.
"""The stock inferencer with our models, names and images."""
import os

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from mmseg_semi import config_files
from mmseg_semi.apis import MMSegInferencer, list_models, model_index
from mmseg_semi.predicting import Predictor
from mmseg_semi.predicting.images import own_names
from .given import files, picture, save

META = dict(
    dataset_meta=dict(
        classes=('a', 'b', 'c', 'd'),
        palette=[[200, 0, 0], [0, 200, 0], [0, 0, 200], [9, 9, 9]]))


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A config and a checkpoint."""
    return files(tmp_path_factory.mktemp('model') / 'm', 'plain', meta=META)


@pytest.fixture(scope='module')
def segment(trained):
    return MMSegInferencer(*trained, device='cpu')


@pytest.fixture
def photos(tmp_path):
    """Names in an order that a directory need not keep."""
    folder = tmp_path / 'photos'
    for i, name in enumerate(('b.png', 'a.png', 'deep/a.png', 'c.png')):
        save(folder / name, seed=i)
    (folder / 'notes.doc').write_text('none')
    return folder


def written(folder):
    return sorted(
        os.path.relpath(os.path.join(root, name), folder)
        for root, _, names in os.walk(folder) for name in names)


def test_names_are_those_of_the_metafiles():
    names = list_models()
    assert 'brpg_r101_voc_366' in names
    assert len(names) == len(set(names))
    found = MMSegInferencer.list_models(patterns='brpg_r18')
    assert sorted(found) == ['brpg_r18_digits_100', 'brpg_r18_digits_50']
    config = model_index.model_config('BRPG_r18_digits_50')
    assert config.endswith('configs/brpg/brpg_r18_digits_50.py')


def test_names_are_found_in_an_installed_package(tmp_path, monkeypatch):
    """pip leaves configs and metafiles below ``.mim``."""
    mim = tmp_path / 'mmseg_semi/.mim'
    mim.mkdir(parents=True)
    for name in ('configs', 'model-index.yml'):
        (mim / name).symlink_to(config_files.configs_dir().parent / name)
    monkeypatch.setattr(config_files, '_PACKAGE', mim.parent)
    found = model_index.model_config('brpg_r18_digits_50')
    assert found == str(mim / 'configs/brpg/brpg_r18_digits_50.py')


def test_a_model_by_its_name(trained, photos, monkeypatch):
    config, weights = trained
    monkeypatch.setattr(model_index, '_entries', lambda: [('mine', config)])
    photo = str(photos / 'a.png')
    expected = Predictor(config, weights, device='cpu')(photo).classes
    for scope in ('mmseg', 'mmseg_semi'):
        found = MMSegInferencer('mine', weights, device='cpu', scope=scope)
        np.testing.assert_array_equal(found(photo)['predictions'], expected)
    assert len(np.unique(expected)) > 1


@pytest.mark.parametrize(
    'model', ['brpg_r18_digits_50', 'mmseg_semi::brpg/brpg_r18_digits_50.py'])
def test_names_without_weights_say_how_to_get_them(model):
    with pytest.raises(ValueError, match='train .*brpg_r18_digits_50.py'):
        MMSegInferencer(model, device='cpu')


def test_unknown_names_are_refused_with_near_ones():
    with pytest.raises(ValueError, match='near ones: .*brpg_r18_digits_50'):
        MMSegInferencer('brpg_r18_digit_50', 'w.pth', device='cpu')
    with pytest.raises(FileNotFoundError, match='nothere.py'):
        MMSegInferencer('nothere.py', 'w.pth', device='cpu')


def test_names_of_mmseg_stay_with_it(monkeypatch):
    """It loads weights that it publishes; here their address is enough."""
    asked = []

    def no_download(self, cfg, weights, device):
        asked.append(weights)
        raise RuntimeError('no network')

    monkeypatch.setattr(MMSegInferencer, '_init_model', no_download)
    with pytest.raises(RuntimeError, match='no network'):
        MMSegInferencer('fcn_r50-d8_4xb2-40k_cityscapes-512x1024')
    assert asked[0].startswith('https://') and asked[0].endswith('.pth')


def test_weights_of_another_model_are_refused(trained, tmp_path):
    _, weights = files(tmp_path / 'other', 'local')
    with pytest.raises(RuntimeError, match='Give a checkpoint'):
        MMSegInferencer(trained[0], weights, device='cpu')


def test_results_are_called_as_the_images(segment, photos, tmp_path):
    out = tmp_path / 'out'
    found = segment(str(photos), out_dir=str(out))['predictions']
    assert written(out) == [
        f'{kind}/{name}.png' for kind in ('pred', 'vis')
        for name in ('a', 'b', 'c', 'deep/a')
    ]
    for name, mask in zip(('a', 'b', 'c', 'deep/a'), found):
        np.testing.assert_array_equal(
            np.asarray(Image.open(out / f'pred/{name}.png')), mask)
        one = segment(str(photos / f'{name}.png'))['predictions']
        np.testing.assert_array_equal(mask, one)


def test_lists_and_arrays_never_share_a_name(segment, photos, tmp_path):
    out = tmp_path / 'out'
    paths = [photos / 'a.png', str(photos / 'deep/a.png'), picture()]
    segment(paths, out_dir=out, return_datasamples=True)
    segment(picture(seed=5), out_dir=out)
    first = len(written(out / 'pred'))
    assert first == 4
    assert {'a.png', 'deep/a.png'} <= set(written(out / 'pred'))


def test_names_keep_the_suffix_where_they_must(tmp_path):
    same = [str(tmp_path / 'a.png'), str(tmp_path / 'a.jpg')]
    assert list(own_names(same).values()) == ['a.png', 'a.jpg']
    assert own_names(same[:1] * 2) == {same[0]: 'a'}
    assert own_names([]) == {}


def test_images_are_never_replaced(segment, photos):
    before = (photos / 'a.png').read_bytes()
    with pytest.raises(ValueError, match='replace the images'):
        segment(str(photos), out_dir=photos, img_out_dir='.')
    with pytest.raises(ValueError, match='Name two folders'):
        segment(str(photos), out_dir=photos, img_out_dir='x', pred_out_dir='x')
    with pytest.raises(ValueError, match='is a file'):
        segment(str(photos), out_dir=photos / 'a.png')
    assert (photos / 'a.png').read_bytes() == before


def test_results_among_the_images_are_not_predicted(segment, photos):
    for _ in range(2):
        found = segment(str(photos), out_dir=photos)['predictions']
        assert len(found) == 4
    assert (photos / 'pred/deep/a.png').is_file()


def test_pictures_show_deep_images_as_the_network_sees_them(tmp_path):
    """12 bits in files of 16: OpenCV would show them nearly black."""
    loader = dict(type='LoadBands', bands=(0, 1, 2), range=(0, 4095))
    config, weights = files(
        tmp_path / 'deep',
        'plain', [loader, dict(type='PackSegInputs')],
        meta=META)
    deep = save(tmp_path / 'd.tif', picture().astype(np.uint16) * 16)
    segment = MMSegInferencer(config, weights, device='cpu')
    found = segment(deep, return_vis=True, opacity=0, with_labels=False)
    shown = found['visualization'].astype(int)
    stock = cv2.imread(deep)  # 8 bits of 16
    assert stock.mean() < 20 < 80 < shown.mean()


def test_what_the_user_says_of_classes_is_used(trained, photos, tmp_path):
    palette = [[9, 9, 9], [99, 99, 99], [250, 250, 250], [0, 0, 0]]
    segment = MMSegInferencer(*trained, palette=palette, device='cpu')
    found = segment(
        str(photos / 'a.png'), return_vis=True, opacity=1, with_labels=False)
    colours = np.unique(found['visualization'].reshape(-1, 3), axis=0)
    assert {tuple(c) for c in colours} <= {tuple(c) for c in palette}
    with pytest.raises(ValueError, match='classes has 2 entries.* 4 classes'):
        MMSegInferencer(*trained, classes=['a', 'b'], device='cpu')


def test_stock_inferencer_takes_the_same_config(trained, photos):
    config, weights = trained
    cfg = Config.fromfile(config)
    cfg.test_dataloader = dict(dataset=dict(pipeline=cfg.test_pipeline))
    cfg.visualizer = dict(type='SegLocalVisualizer')
    photo = str(photos / 'a.png')
    stock = MMSegInferencer.__base__(cfg, weights, device='cpu')
    ours = MMSegInferencer(cfg, weights, device='cpu')
    np.testing.assert_array_equal(
        stock(photo)['predictions'],
        ours(photo)['predictions'])
