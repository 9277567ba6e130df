# Copyright (c) mmseg_semi authors.
import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmseg_semi.predicting import Predictor, find_images, predict_folder
from .given import files, picture, save

META = dict(
    dataset_meta=dict(
        classes=list('abcd'),
        palette=[[0, 0, 0], [9, 8, 7], [1, 2, 3], [255, 0, 1]]))


@pytest.fixture
def predictor(tmp_path):
    return Predictor(
        *files(tmp_path / 'model', 'local', meta=META), device='cpu')


@pytest.fixture
def photos(tmp_path):
    """A folder with everything in it."""
    folder = tmp_path / 'photos'
    save(folder / 'a.png')
    save(folder / 'sub/b.JPG', seed=1)
    save(folder / 'sub/.thumbs/b.jpg', seed=1)
    (folder / 'cut.jpg').write_bytes((folder / 'sub/b.JPG').read_bytes()[:400])
    (folder / 'empty.png').touch()
    (folder / 'notes.txt').write_text('hello')
    (folder / 'fake.tif').write_text('hello')
    return folder


def test_a_folder_with_everything_in_it(tmp_path, predictor, photos):
    out = tmp_path / 'out'
    report = predict_folder(
        predictor, str(photos), str(out), overlay=True, confidence=True)
    assert sorted(
        str(p.relative_to(out)) for p in out.rglob('*') if p.is_file()) == [
            'confidence/a.png', 'confidence/sub/b.png', 'masks/a.png',
            'masks/sub/b.png', 'overlays/a.jpg', 'overlays/sub/b.jpg',
            'predict.json'
        ]
    names = [s.image.rpartition('/')[2] for s in report.skipped]
    assert sorted(names) == ['cut.jpg', 'empty.png', 'fake.tif', 'notes.txt']
    found = predictor(str(photos / 'a.png'))
    with Image.open(out / 'masks/a.png') as mask:
        assert mask.mode == 'P' and mask.getpalette()[:6] == [0, 0, 0, 9, 8, 7]
        assert np.array_equal(np.asarray(mask), found.classes)
    with Image.open(out / 'confidence/a.png') as sure:
        assert np.array_equal(
            np.asarray(sure), np.rint(255 * found.confidence))
    with Image.open(out / 'overlays/a.jpg') as shown:
        colors = np.array(predictor.palette)[found.classes]
        expected = (picture()[..., ::-1].astype(int) + colors) / 2
        assert abs(np.asarray(shown) - expected).mean() < 8
    record = json.loads((out / 'predict.json').read_text())
    assert record['classes'] == list('abcd')


def test_going_on_and_replacing(tmp_path, predictor, photos):
    out = tmp_path / 'out'
    first = predict_folder(predictor, str(photos), str(out))
    mask = out / 'masks/a.png'
    mask.write_bytes(b'mine')
    (out / 'masks/sub/b.png').unlink()
    with pytest.raises(FileExistsError, match=r'a\.png\. Go on with --resume'):
        predict_folder(predictor, str(photos), str(out))
    second = predict_folder(predictor, str(photos), str(out), resume=True)
    assert [p.image for p in second.predicted] == [str(photos / 'sub/b.JPG')]
    assert second.kept == [str(photos / 'a.png')]
    assert mask.read_bytes() == b'mine'
    third = predict_folder(
        predictor, str(photos), str(out), confidence=True, resume=True)
    assert len(third.predicted) == 2, 'they had no confidence'
    fourth = predict_folder(predictor, str(photos), str(out), force=True)
    assert len(fourth.predicted) == len(first.predicted) == 2


def test_results_of_two_models_are_not_mixed(tmp_path, predictor, photos):
    out = str(tmp_path / 'out')
    predict_folder(predictor, str(photos / 'a.png'), out)
    other = Predictor(*files(tmp_path / 'other', 'plain'), device='cpu')
    with pytest.raises(FileExistsError, match='of another prediction'):
        predict_folder(other, str(photos / 'sub'), out)
    predict_folder(other, str(photos / 'sub'), out, force=True)


def test_two_images_of_one_name(tmp_path, predictor, photos):
    save(photos / 'a.jpg')
    out = tmp_path / 'out'
    with pytest.raises(ValueError, match=r'a\.jpg and .*a\.png.*keep-suffix'):
        predict_folder(predictor, str(photos), str(out))
    assert not out.exists()
    predict_folder(predictor, str(photos), str(out), keep_suffix=True)
    assert (out / 'masks/a.jpg.png').is_file()
    assert (out / 'masks/a.png.png').is_file()


def test_results_inside_of_the_photos_are_no_photos(predictor, photos):
    out = photos / 'out'
    predict_folder(predictor, str(photos), str(out))
    again = predict_folder(predictor, str(photos), str(out), resume=True)
    assert not again.predicted and len(again.kept) == 2


def test_names_of_files_lists_and_patterns(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def names(*places):
        return [s.name for s in find_images(places, 'out')[0]]

    assert names('photos/sub/b.JPG') == ['b']
    assert names('photos/**/*.JPG') == ['sub/b']
    assert names('photos/sub/*') == ['b']
    (tmp_path / 'list.txt').write_text('photos/sub/b.JPG\nphotos/a.png\n')
    assert names('list.txt') == ['sub/b', 'a']
    assert names('photos/a.png', 'photos/sub') == ['a', 'b']
    assert names('photos/a.png', 'photos/a.png') == ['a']
    (tmp_path / 'list.txt').write_text('absent.jpg\n')
    (tmp_path / 'void').mkdir()
    (tmp_path / 'void/x.txt').touch()
    for place, text in {
            'list.txt': 'do not exist: absent.jpg',
            'void': r'no image in void, only x\.txt',
            'fotos': r'no image, folder or list fotos.*nearest.*photos',
            '*.gif': r'No file is like \*\.gif'
    }.items():
        with pytest.raises(FileNotFoundError, match=text):
            names(place)


def test_many_classes_have_no_palette(tmp_path):
    from ..test_models.toys import segmentor
    cfg = segmentor(head='fcn')
    cfg['decode_head']['num_classes'] = 300
    predictor = Predictor(*files(tmp_path / 'm', cfg), device='cpu')
    last = predictor.model.decode_head.conv_seg
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.arange(300.))
    path = save(tmp_path / 'a.png')
    predict_folder(predictor, path, str(tmp_path / 'out'))
    with Image.open(tmp_path / 'out/masks/a.png') as mask:
        found = np.asarray(mask)
    assert (found == 299).all()
    assert np.array_equal(found, predictor(path).classes)


def geotiff(path, image, rasterio):
    from rasterio.transform import from_origin
    with rasterio.open(
            path,
            'w',
            driver='GTiff',
            height=image.shape[0],
            width=image.shape[1],
            count=3,
            dtype='uint8',
            photometric='rgb',
            crs='EPSG:32632',
            transform=from_origin(500000, 5400000, .5, .25)) as file:
        file.write(image[..., ::-1].transpose(2, 0, 1))
    return str(path)


def test_a_geotiff_keeps_its_place(tmp_path, predictor):
    rasterio = pytest.importorskip('rasterio')
    path = geotiff(tmp_path / 'a.tif', picture(), rasterio)
    (tmp_path / 'a.tfw').write_text('9\n0\n0\n-9\n9\n9\n')  # tags count
    report = predict_folder(
        predictor, path, str(tmp_path / 'out'), confidence=True, overlay=True)
    assert not report.notes
    for kind in ('masks', 'confidence'):
        with rasterio.open(tmp_path / f'out/{kind}/a.tif') as file:
            assert file.crs.to_epsg() == 32632
            assert tuple(file.transform)[:6] == (.5, 0, 500000, 0, -.25,
                                                 5400000)
    with rasterio.open(tmp_path / 'out/masks/a.tif') as file:
        assert np.array_equal(file.read(1), predictor(picture()).classes)
        assert file.colormap(1)[1] == (9, 8, 7, 255)


def test_a_damaged_geotiff_is_skipped(tmp_path, predictor):
    rasterio = pytest.importorskip('rasterio')
    path = tmp_path / 'photos/a.tif'
    path.parent.mkdir()
    geotiff(path, picture(300, 300), rasterio)
    path.write_bytes(path.read_bytes()[:200000])
    save(tmp_path / 'photos/b.png')
    tiled = Predictor(*files(tmp_path / 'm', 'local'), device='cpu', tile=64)
    for number, one in enumerate((predictor, tiled)):
        report = predict_folder(one, str(path.parent), str(tmp_path / f'{number}'))
        assert [s.image for s in report.skipped] == [str(path)]
        assert len(report.predicted) == 1


# The tags of a north-up GeoTIFF: pixel size and where pixel (0, 0) lies.
GEO = [(33550, 'd', 3, (.5, .25, 0.), True),
       (33922, 'd', 6, (0., 0., 0., 500000., 5400000., 0.), True)]


def test_without_rasterio_a_world_file_keeps_the_place(tmp_path, predictor,
                                                       monkeypatch):
    tifffile = pytest.importorskip('tifffile')
    from mmseg_semi.predicting import georeference
    monkeypatch.setattr(georeference, 'optional_package', lambda name: None)
    path = tmp_path / 'a.tif'
    tifffile.imwrite(path, picture()[..., ::-1], extratags=GEO)
    report = predict_folder(predictor, str(path), str(tmp_path / 'out'))
    assert 'mmseg_semi[geo]' in report.notes[0]
    assert (tmp_path / 'out/masks/a.pgw').read_text().split() == [
        '0.5', '0', '0', '-0.25', '500000.25', '5399999.875'
    ]


def test_world_files_come_along(tmp_path, predictor):
    path = save(tmp_path / 'a.jpg')
    (tmp_path / 'a.jgw').write_text('1\n0\n0\n-1\n7\n8\n')
    (tmp_path / 'a.prj').write_text('PROJCS')
    predict_folder(predictor, path, str(tmp_path / 'out'))
    masks = tmp_path / 'out/masks'
    assert (masks / 'a.pgw').read_text() == '1\n0\n0\n-1\n7\n8\n'
    assert (masks / 'a.prj').read_text() == 'PROJCS'
