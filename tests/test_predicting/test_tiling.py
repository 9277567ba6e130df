# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmseg_semi.predicting import Predictor
from mmseg_semi.predicting.tiling import AxisRule, is_large, tile_rules
from .given import PIPELINE, files, picture, save

SLIDE = dict(mode='slide', crop_size=(24, 32), stride=(16, 24))


def model(**test_cfg):
    net = nn.Module()
    net.test_cfg = test_cfg
    return net


@pytest.mark.parametrize('length', [1, 31, 64, 65, 96, 127, 1000])
@pytest.mark.parametrize('rule', [
    AxisRule(64, 16, 32),
    AxisRule(96, 0, 32),
    AxisRule(56, 8, 16),
    AxisRule(64, 1, 8)
])
def test_cores_cover_an_axis_once(rule, length):
    spans = rule.spans(length)
    cores = [i for s in spans for i in range(s.core_start, s.core_end)]
    assert cores == list(range(length))
    for span in spans:
        assert span.start % rule.step == 0 and span.end <= length
        assert span.end - span.start <= rule.size
        assert span.start == 0 or span.core_start - span.start >= rule.margin
        assert span.end == length or span.end - span.core_end >= rule.margin
    if length > rule.size:
        assert spans[-1].end - spans[-1].start > rule.size - rule.step


def test_rules_fit_the_model():
    assert tile_rules(model(), None, None) == (AxisRule(1024, 128, 32), ) * 2
    assert tile_rules(model(), 100, None)[0] == AxisRule(128, 13, 32)
    rows, columns = tile_rules(model(**SLIDE), 50, 0)
    assert rows == AxisRule(24 + 2 * 16, 8, 16)
    assert columns == AxisRule(32 + 1 * 24, 8, 24)
    with pytest.raises(ValueError, match='it may be 96 at most'):
        tile_rules(model(), 128, 100)
    with pytest.raises(ValueError, match='must be positive'):
        tile_rules(model(), 128, -1)


def test_what_is_large():
    assert not is_large((2048, 4096), 5) and is_large((2049, 4096), 5)
    assert not is_large((1024, 1024), 256) and is_large((1024, 1025), 256)


def both(folder, image, name='local', tile=64, **changes):
    config, checkpoint = files(folder, name, **changes)
    return [
        Predictor(config, checkpoint, device='cpu', tile=t,
                  overlap=o)(image, True) for t, o in ((0, None), (tile, 32))
    ]


@pytest.mark.parametrize('name', ['plain', 'binary', 'queries', 'teacher'])
def test_windows_are_those_of_the_whole_image(tmp_path, name):
    whole, tiled = both(tmp_path, picture(150, 170), name, test_cfg=SLIDE)
    assert np.array_equal(whole.classes, tiled.classes)
    assert np.allclose(whole.probabilities, tiled.probabilities, atol=1e-5)
    assert np.array_equal(tiled.confidence, tiled.probabilities.max(0))


def test_a_local_network_sees_no_seam(tmp_path):
    config, checkpoint = files(tmp_path, 'local')
    whole, wide, narrow = (Predictor(
        config, checkpoint, device='cpu', tile=t, overlap=o)(picture(320, 384))
                           for t, o in ((0, None), (256, 192), (64, 0)))
    assert (whole.classes != wide.classes).mean() < 1e-4
    assert abs(whole.confidence - wide.confidence).max() < 1e-3
    assert (whole.classes != narrow.classes).mean() > 1e-3


@pytest.mark.parametrize('align_corners', [False, True])
@pytest.mark.parametrize('scale', [(60, 40), (300, 200)])
@pytest.mark.parametrize('name', ['local', 'binary'])
def test_a_pipeline_that_resizes(tmp_path, monkeypatch, name, scale,
                                 align_corners):
    """The image is predicted at its own size, enlarged some rows at a time."""
    monkeypatch.setattr('mmseg_semi.predicting.predictor._PIECE', 3000)
    pipeline = [PIPELINE[0], dict(type='Resize', scale=scale), PIPELINE[2]]
    config, checkpoint = files(tmp_path, name, pipeline, test_cfg=SLIDE)
    cfg = Config.fromfile(config)
    cfg.model.decode_head.align_corners = align_corners
    whole, tiled = (
        Predictor(cfg, checkpoint, device='cpu',
                  tile=tile)(picture(120, 180), True) for tile in (0, 64))
    assert (whole.classes != tiled.classes).mean() < 1e-3
    assert np.allclose(whole.probabilities, tiled.probabilities, atol=1e-4)


def test_augmentation_in_tiles(tmp_path):
    tta = [
        PIPELINE[0],
        dict(
            type='TestTimeAug',
            transforms=[[dict(type='Resize', scale=(60, 60))],
                        [dict(type='RandomFlip', prob=1.)] * 2,
                        [dict(type='PackSegInputs')]])
    ]
    config, checkpoint = files(tmp_path, 'local')
    image = picture(320, 384)
    whole, tiled = (
        Predictor(
            config, checkpoint, device='cpu', tta=True, tile=t,
            overlap=160)(image) for t in (0, 256))
    assert (whole.classes != tiled.classes).mean() < .02
    cfg = Config.fromfile(config)
    cfg.tta_pipeline = tta
    with pytest.raises(ValueError, match='use scale_factor'):
        Predictor(cfg, checkpoint, tta=True, tile=64)(image)


def test_large_images_are_tiled_by_themselves(tmp_path, monkeypatch):
    config, checkpoint = files(tmp_path, 'local')
    predictor = Predictor(config, checkpoint, device='cpu', overlap=0)
    count = []
    monkeypatch.setattr(
        predictor.model,
        'test_step',
        lambda data, step=predictor.model.test_step: count.append(1) or step(
            data))
    predictor(picture())
    assert len(count) == 1
    monkeypatch.setattr('mmseg_semi.predicting.tiling.LARGE_PIXELS', 2000)
    found = predictor(picture(40, 1100))
    assert len(count) == 3 and found.classes.shape == (40, 1100)


@pytest.mark.parametrize('package', ['rasterio', 'tifffile'])
@pytest.mark.parametrize('bands', [1, 3, 4])
def test_windows_of_a_file_are_what_the_loader_gives(tmp_path, monkeypatch,
                                                     package, bands):
    pytest.importorskip(package)
    from mmseg_semi.datasets import band_files
    from mmseg_semi.predicting import windows
    find = band_files.optional_package
    monkeypatch.setattr(windows, 'optional_package', lambda name: find(name)
                        if name == package else None)
    image = picture(70, 90, bands=bands)
    path = save(tmp_path / 'a.tif', image)
    if bands == 4:
        tifffile = pytest.importorskip('tifffile')
        tifffile.imwrite(
            path, image, photometric='minisblack', planarconfig='contig')
    elif package == 'tifffile':
        tifffile = pytest.importorskip('tifffile')
        tifffile.imwrite(
            path,
            image.squeeze()[..., ::-1] if bands == 3 else image.squeeze())
    first = dict(type='LoadImageFromFile') if bands != 4 else dict(
        type='LoadBands', bands=(2, 0, 3), max_clipped=.5, range=(0, 200))
    config, checkpoint = files(tmp_path / 'm', 'local', [first, *PIPELINE[1:]])
    loader = Predictor(config, checkpoint, device='cpu').pipeline.loader
    found = windows.open_windows(path, loader)
    whole = loader(dict(img_path=path))['img']
    part = found.read(slice(10, 40), slice(20, 90))
    assert found.size == (70, 90)
    assert np.array_equal(part, whole[10:40, 20:90])
    assert part.dtype == whole.dtype


def test_files_that_are_read_as_a_whole(tmp_path):
    from mmseg_semi.predicting.windows import open_windows
    loader = Predictor(
        *files(tmp_path / 'm', 'local'), device='cpu').pipeline.loader
    assert open_windows(save(tmp_path / 'a.png'), loader) is None
    assert open_windows(str(tmp_path / 'absent.tif'), loader) is None
    deep = picture().astype(np.uint16) * 256
    assert open_windows(save(tmp_path / 'b.tif', deep), loader) is None
    (tmp_path / 'c.tif').write_bytes(b'II*\0broken')
    assert open_windows(str(tmp_path / 'c.tif'), loader) is None


def test_tiles_take_little_memory(tmp_path, monkeypatch):
    """No tensor of scores is larger than those of a tile."""
    config, checkpoint = files(tmp_path, 'local')
    predictor = Predictor(config, checkpoint, device='cpu', tile=64)
    seen = []
    predict = predictor.model.predict

    def watch(inputs, samples):
        seen.append(inputs[0, 0].numel())
        return predict(inputs, samples)

    monkeypatch.setattr(predictor.model, 'predict', watch)
    with torch.no_grad():
        predictor(picture(200, 300))
    assert max(seen) == 64 * 64
