# Copyright (c) mmseg_semi authors.
"""How photographs are loaded, by what they are as a set."""
import subprocess
import sys

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

from mmseg_semi.data_check import check_config
from mmseg_semi.importing.settings import data_loaders
from mmseg_semi.starting import (DataFacts, MachineFacts, choose_recipe,
                                 config_text, data_facts)
from mmseg_semi.starting.picture import draw_comparison
from mmseg_semi.starting.pixels import (Pixels, choose_pixels, load_bands,
                                        look_at)
from mmseg_semi.starting.trained import Trained
from ..test_importing.helpers import HEIGHT, WIDTH, drawn, run, save

MACHINE = MachineFacts(None, 2**34, True, False)
tifffile = pytest.importorskip('tifffile')


def track(items, text):
    return items


def noise(bands, low, high, dtype, seed):
    random = np.random.default_rng(seed)
    return random.uniform(low, high, (HEIGHT, WIDTH, bands)).astype(dtype)


def grey16(path, seed):
    cv2.imwrite(f'{path}.png', noise(1, 100, 4000, np.uint16, seed))


def tiff_grey16(path, seed):
    tifffile.imwrite(f'{path}.tif',
                     noise(1, 100, 4000, np.uint16, seed)[..., 0])


def rgb16(path, seed):
    cv2.imwrite(f'{path}.png', noise(3, 100, 60000, np.uint16, seed))


def rgba16(path, seed):
    pixels = noise(4, 100, 60000, np.uint16, seed)
    cv2.imwrite(f'{path}.png', pixels)


def tiff_opaque16(path, seed):
    """The fourth band is an alpha that hides nothing."""
    pixels = noise(4, 100, 60000, np.uint16, seed)
    pixels[..., 3] = 65535
    tifffile.imwrite(f'{path}.tif', pixels, photometric='rgb')


def tiff_four16(path, seed):
    """Four bands, of which the writer calls the last one alpha."""
    tifffile.imwrite(
        f'{path}.tif',
        noise(4, 100, 60000, np.uint16, seed),
        photometric='rgb')


def float4(path, seed):
    tifffile.imwrite(
        f'{path}.tif',
        noise(4, -1, 1, np.float32, seed),
        photometric='minisblack',
        planarconfig='contig')


def five8(path, seed):
    tifffile.imwrite(
        f'{path}.tif',
        noise(5, 0, 255, np.uint8, seed),
        photometric='minisblack',
        planarconfig='contig')


def rgb8(path, seed):
    cv2.imwrite(f'{path}.png', noise(3, 0, 255, np.uint8, seed))


def grey8(path, seed):
    cv2.imwrite(f'{path}.png', noise(1, 0, 255, np.uint8, seed))


def pixels_of(folder, *writers):
    folder.mkdir(exist_ok=True)
    for index, write in enumerate(writers):
        write(folder / f'p{index}', index)
    files = sorted(folder.iterdir())
    return choose_pixels(files, files, track)


@pytest.mark.parametrize('write, bands, number', [
    (grey16, 1, 1),
    (tiff_grey16, 1, 1),
    (rgb16, 3, 3),
    (rgba16, (0, 1, 2), 3),
    (tiff_opaque16, (0, 1, 2), 3),
    (tiff_four16, 4, 4),
    (float4, 4, 4),
    (five8, 5, 5),
])
def test_one_kind_is_loaded_with_its_range(tmp_path, write, bands, number):
    found = pixels_of(tmp_path / 'photos', *[write] * 3)
    assert found.loader['type'] == 'LoadBands'
    assert found.loader['bands'] == bands
    assert ('range' in found.loader) == (write != five8)
    if number == 3:  # those of the weights
        assert found.preprocessor is None
    else:
        assert len(found.preprocessor['mean']) == number
        assert found.preprocessor['bgr_to_rgb'] is False
    assert 'measured on 3 photos' in found.reason


@pytest.mark.parametrize('writers, reason', [
    ([rgb8] * 3, ''),
    ([rgb8, grey8, rgb8], ''),
    ([rgb8, rgb8, rgb16], '1 of 3 photos have 3 bands of 16 bits, cut to 8'),
    ([rgb16, grey16, rgb8], '1 of 3 photos have 3 bands of 16 bits, cut to 8'),
    ([rgb8, rgb8, float4], 'the check of the data names them'),
])
def test_mixtures_are_photographs_of_8_bits(tmp_path, writers, reason):
    found = pixels_of(tmp_path / 'photos', *writers)
    assert found.loader is None and found.preprocessor is None
    assert reason in found.reason and bool(reason) == bool(found.reason)


@pytest.mark.parametrize('odd', [rgb8, five8, tiff_grey16])
def test_what_no_range_fits_is_refused_with_the_files(tmp_path, odd):
    with pytest.raises(ValueError, match='(?s)Most photos .2. .*p2.*save'):
        pixels_of(tmp_path / 'photos', float4, float4, odd)


def test_files_that_cannot_be_opened_do_not_count(tmp_path):
    rgb8(tmp_path / 'a', 0)
    (tmp_path / 'b.png').write_bytes(b'broken')
    kinds = look_at(sorted(tmp_path.iterdir()), track)
    assert [len(paths) for paths in kinds.values()] == [1]


def imported(tmp_path, write):
    (tmp_path / 'photos').mkdir()
    for index in range(6):
        write(tmp_path / 'photos' / f'p{index}', index)
    for index in range(4):
        # Not one mask for all: the check warns of that.
        save(np.roll(drawn(), index, 0), tmp_path / 'masks' / f'p{index}.png')
    run(tmp_path, val=.25)
    return str(tmp_path / 'out')


@pytest.mark.parametrize('write, bands', [(grey16, 1), (float4, 4),
                                          (rgb16, 3)])
@pytest.mark.parametrize('side', [10, 3000])
def test_configs_load_them_everywhere(tmp_path, write, bands, side):
    out = imported(tmp_path, write)
    facts = data_facts(out)
    assert (facts.short_side, facts.long_side) == (HEIGHT, WIDTH)
    facts = DataFacts(facts.classes, 3, 1, 2, side, side, facts.pixels)
    recipe = choose_recipe(facts, MACHINE)
    assert re_row(recipe.describe()) == f'{bands} band'
    text = config_text(out, recipe, patience=2)
    assert len(text.splitlines()) <= 25
    cfg = Config.fromstring(text, '.py')
    data = cfg.train_dataloader.dataset
    for pipeline in (data.labeled.pipeline, data.unlabeled.pipeline,
                     cfg.val_dataloader.dataset.pipeline, cfg.test_pipeline,
                     cfg.tta_pipeline):
        assert pipeline[0].type == 'LoadBands'
        assert 'LoadStrictImage' not in str(pipeline)
        assert 'LoadImageFromFile' not in str(pipeline)
    with DefaultScope.overwrite_default_scope('mmseg'):
        train = DATASETS.build(data)
        samples = train[0], train[3], DATASETS.build(
            cfg.val_dataloader.dataset)[0]
    assert samples[0]['inputs']['sup'].shape[0] == bands
    assert samples[1]['inputs']['unsup_student'].shape[0] == bands
    assert samples[2]['inputs'].shape[0] == bands
    assert ('data_preprocessor' in cfg.model) == (bands != 3)


@pytest.mark.parametrize('write, loader', [(float4, 'LoadBands'),
                                           (rgb8, None)])
def test_checks_of_an_import_know_the_loader(tmp_path, write, loader):
    loaders = data_loaders(imported(tmp_path, write))
    load_bands(loaders, track)
    sets = loaders['train_dataloader']['dataset']
    for one in (sets['labeled'], sets['unlabeled'],
                loaders['val_dataloader']['dataset']):
        found = one.get('pipeline')
        assert (found and found[0]['type']) == loader
    report = check_config(Config(loaders), pipelines=False)
    assert not report.errors


def re_row(text):
    """The number of bands in the last line of a recipe."""
    name, kind, reason = text.splitlines()[-1].split(maxsplit=2)
    assert (name, kind) == ('pixels', 'LoadBands')
    return ' '.join(reason.split()[:2]).removesuffix('s')


@pytest.mark.parametrize('write', [grey16, float4, rgb16])
def test_pictures_show_them(tmp_path, write, monkeypatch):
    out = imported(tmp_path, write)
    cfg = Config.fromstring(
        config_text(out, choose_recipe(data_facts(out), MACHINE)), '.py')
    monkeypatch.setattr('mmseg_semi.starting.picture.predict',
                        lambda model, images: [drawn() for _ in images])
    model = Trained('m', cfg, 'm.pth', 1, tmp_path)
    assert draw_comparison([model], 'title').startswith(b'\x89PNG')


def test_photographs_need_no_row():
    facts = DataFacts(('a', 'b'), 4, 1, 3, 100, 100)
    assert facts.pixels == Pixels()
    assert 'pixels' not in choose_recipe(facts, MACHINE).describe()


@pytest.mark.slow
@pytest.mark.parametrize('write', [tiff_grey16, grey16, float4])
def test_start_to_the_end(tmp_path, write):
    imported(tmp_path, write)
    command = [
        sys.executable, '-m', 'mmseg_semi', 'start', 'photos', '--masks',
        'masks', '--iters', '4', '--crop', '32', '--out', 'new'
    ]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr + done.stdout
    assert 'pixels      LoadBands' in done.stdout
    assert '0 errors, 0 warnings' in done.stdout
    assert (tmp_path / 'new/comparison.png').is_file()
