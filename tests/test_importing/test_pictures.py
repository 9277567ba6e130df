# Copyright (c) mmseg_semi authors.
import numpy as np
import pytest
from PIL import Image

from .helpers import HEIGHT, WIDTH, add_photos, drawn, faults, load, run, save

COLORS = np.array([[0, 0, 0], [255, 0, 0], [0, 128, 64]], np.uint8)


def put(tmp_path, *masks, suffix='.png', **options):
    for number, mask in enumerate(masks):
        add_photos(tmp_path / 'photos', f'p{number}.jpg')
        save(mask, tmp_path / 'masks' / f'p{number}{suffix}', **options)


def check(tmp_path, *masks):
    for number, mask in enumerate(masks):
        np.testing.assert_array_equal(
            load(tmp_path / 'out', f'p{number}.jpg'), mask)


def test_ids_stay(tmp_path):
    ignored = drawn()
    ignored[0] = 255
    put(tmp_path, drawn(), ignored)
    report = run(tmp_path)
    check(tmp_path, drawn(), ignored)
    assert report.format == 'index'
    assert report.classes['names'] == ['background', 'class_1', 'class_2']
    assert report.classes['mapping']['255'] == 'ignored'
    assert report.classes['pixels']['class_1'] == 2 * (drawn() == 1).sum()
    assert report.classes['ignored_pixels'] == WIDTH


@pytest.mark.parametrize('values', [(0, 255), (0, 90, 255), (7, 9)])
def test_grey_values_become_ids(tmp_path, values):
    values = np.array(values, np.uint8)
    wanted = np.minimum(drawn(), len(values) - 1)
    put(tmp_path, values[wanted])
    report = run(tmp_path)
    check(tmp_path, wanted)
    assert report.format == 'grey'
    assert report.classes['mapping'][str(values[1])] == f'class_{values[1]}'
    assert ('background' in report.classes['names']) == (values[0] == 0)


@pytest.mark.parametrize('dtype, suffix', [(np.uint16, '.png'),
                                           (np.float32, '.tif'),
                                           (bool, '.png')])
def test_other_kinds_of_numbers(tmp_path, dtype, suffix):
    values = np.array([0, 1, 1] if dtype is bool else [0, 1, 1000])
    put(tmp_path, values.astype(dtype)[drawn()], suffix=suffix)
    run(tmp_path)
    check(tmp_path, drawn(1, 1) if dtype is bool else drawn())


@pytest.mark.parametrize('ids, as_palette, ignored', [
    ((0, 8, 20, 255), False, True),
    ((0, 8, 20, 255), True, True),
    ((0, 100, 255), True, True),
    ((0, 90, 180, 255), False, False),
    ((0, 255), True, False),
])
def test_255_beside_ids_with_gaps(tmp_path, ids, as_palette, ignored):
    """Data need not have every class of a data set."""
    values = np.array(ids, np.uint8)
    mask = np.minimum(drawn(), len(ids) - 1)
    mask[0] = len(ids) - 1
    mask = values[mask]
    if as_palette:
        add_photos(tmp_path / 'photos', 'p0.jpg')
        (tmp_path / 'masks').mkdir()
        colors = np.arange(768, dtype=np.uint8).reshape(256, 3)
        palette_picture(mask, colors).save(tmp_path / 'masks/p0.png')
    else:
        put(tmp_path, mask)
    report = run(tmp_path)
    assert (report.classes['mapping']['255'] == 'ignored') == ignored
    assert ('class_255' in report.classes['names']) != ignored
    assert (report.classes['ignored_pixels'] > 0) == ignored


def test_two_ids_with_a_gap_beside_255_are_asked_for(tmp_path):
    put(tmp_path, np.array([0, 8, 255], np.uint8)[drawn()])
    with pytest.raises(ValueError, match='0, 8 and 255.*--ignore 255, or'):
        run(tmp_path)


def test_unnamed_classes_say_how_to_name_them(tmp_path):
    put(tmp_path, drawn())
    assert 'all 3 in this order' in run(tmp_path).notes[-1]
    report = run(tmp_path, classes=('a', 'b', 'c'), force=True)
    assert not any('--classes' in note for note in report.notes)


@pytest.mark.parametrize('colors, ignored', [
    ([(0, 0, 0), (128, 0, 0), (224, 224, 192)], True),
    ([(0, 0, 0), (130, 0, 0), (224, 224, 192)], False),
])
def test_borders_of_voc_in_colour_are_ignored(tmp_path, colors, ignored):
    put(tmp_path, np.array(colors, np.uint8)[drawn()])
    names = run(tmp_path).classes['names']
    assert len(names) == 2 + (not ignored)


def test_two_ids_beside_255_are_asked_for(tmp_path):
    put(tmp_path, drawn(1, 255))
    with pytest.raises(ValueError, match='0, 1 and 255.*--ignore 255, or'):
        run(tmp_path)
    run(tmp_path, ignore=('255', ))
    check(tmp_path, drawn(1, 255))
    mapping = {'0': 'floor', '1': 'edge', '255': 'thing'}
    report = run(tmp_path, mapping=mapping, force=True)
    check(tmp_path, drawn(1, 2))
    assert report.classes['names'] == list(mapping.values())
    assert report.state == 'replaced'


def test_mapping_merges_and_names_what_it_lacks(tmp_path):
    put(tmp_path, drawn(), drawn(1, 3))
    mapping = {'0': 'a', '1': 'b', '2': 'b'}
    text, found = faults(run, tmp_path, mapping=mapping)
    assert [f.path for f in found] == [str(tmp_path / 'masks/p1.png')]
    assert 'p1.png: 3' in text and '--ignore' in text
    run(tmp_path, mapping=mapping, ignore=('3', ))
    check(tmp_path, drawn(1, 1), drawn(1, 255))


def test_classes_name_the_values(tmp_path):
    put(tmp_path, drawn(1, 255))
    report = run(tmp_path, classes=('soil', 'leaf'))
    check(tmp_path, drawn(1, 255))
    assert report.classes['mapping'] == {
        '0': 'soil',
        '1': 'leaf',
        '255': 'ignored'
    }
    with pytest.raises(ValueError, match='4 classes.*--mapping 0=NAME'):
        put(tmp_path, drawn(100, 255))
        run(tmp_path, classes=('a', 'b', 'c', 'd'), force=True)


def test_binary_by_names(tmp_path):
    put(tmp_path, drawn(255, 255))
    report = run(tmp_path, classes=('soil', 'leaf'))
    check(tmp_path, drawn(1, 1))
    assert report.classes['ignored_pixels'] == 0


def test_one_value_is_refused(tmp_path):
    put(tmp_path, np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(ValueError, match='have the value 0.*--classes'):
        run(tmp_path)


def test_format_index_wants_ids(tmp_path):
    put(tmp_path, drawn(255, 255))
    with pytest.raises(ValueError, match='--format index.*values 0, 255'):
        run(tmp_path, format='index')


def palette_picture(indices, colors):
    picture = Image.fromarray(indices, 'P')
    full = np.zeros((256, 3), np.uint8)
    full[:len(colors)] = colors
    picture.putpalette(full.ravel().tolist())
    return picture


def test_palette_indices_are_ids(tmp_path):
    mask = drawn(1, 255)
    add_photos(tmp_path / 'photos', 'p0.jpg')
    (tmp_path / 'masks').mkdir()
    palette_picture(mask, COLORS).save(tmp_path / 'masks/p0.png')
    report = run(tmp_path)
    check(tmp_path, mask)
    assert report.format == 'palette'
    assert report.classes['palette'][1] == [255, 0, 0]


def test_palettes_that_differ_go_by_colour(tmp_path):
    add_photos(tmp_path / 'photos', 'p0.jpg', 'p1.jpg')
    (tmp_path / 'masks').mkdir()
    palette_picture(drawn(), COLORS).save(tmp_path / 'masks/p0.png')
    swapped = np.array([0, 2, 1], np.uint8)[drawn()]
    palette_picture(swapped, COLORS[[0, 2, 1]]).save(tmp_path / 'masks/p1.png')
    report = run(tmp_path)
    assert any('--format palette' in note for note in report.notes)
    masks = [load(tmp_path / 'out', f'p{n}.jpg') for n in (0, 1)]
    np.testing.assert_array_equal(*masks)
    run(tmp_path, format='palette', force=True)
    check(tmp_path, drawn(), swapped)


def test_colours_are_found(tmp_path):
    put(tmp_path, COLORS[drawn()])
    report = run(tmp_path)
    names = report.classes['names']
    assert names == ['background', 'color_008040', 'color_ff0000']
    assert report.format == 'rgb'
    check(tmp_path, np.array([0, 2, 1], np.uint8)[drawn()])


@pytest.mark.parametrize('table', [
    'soil 0 0 0\nleaf 255 0 0\nweed 0 128 64\n',
    'name,r,g,b\nsoil,0,0,0\nleaf,255,0,0\nweed,0,128,64\n',
    '# label:color_rgb:parts:actions\nsoil:0,0,0::\nleaf:255,0,0:a,b:\n'
    'weed:0,128,64::\n',
    '0 0 0\tsoil\n255 0 0\tleaf\n0 128 64\tweed\n',
    'soil #000000\n#FF0000 leaf\nweed,#008040\n',
])
def test_tables_of_colours(tmp_path, table):
    put(tmp_path, COLORS[drawn()])
    (tmp_path / 'colors.txt').write_text(table)
    report = run(tmp_path, colors=str(tmp_path / 'colors.txt'))
    check(tmp_path, drawn())
    assert report.classes['names'] == ['soil', 'leaf', 'weed']
    assert report.classes['palette'] == COLORS.tolist()


def test_table_in_json_and_ignored_names(tmp_path):
    put(tmp_path, COLORS[drawn()])
    path = tmp_path / 'colors.json'
    path.write_text(
        '{"soil": [0, 0, 0], "leaf": "#ff0000", "weed": [0, 128, 64]}')
    run(tmp_path, colors=str(path), ignore=('weed', ))
    check(tmp_path, drawn(1, 255))


def test_a_strange_colour_is_named(tmp_path):
    colors = COLORS[drawn()]
    colors[0, 0] = 1, 2, 3
    put(tmp_path, colors)
    mapping = {'#000000': 'a', '#ff0000': 'b', '#008040': 'c'}
    text, _ = faults(run, tmp_path, mapping=mapping)
    assert 'p0.png: #010203' in text and '--snap' in text
    report = run(tmp_path, mapping=mapping, snap=True)
    check(tmp_path, drawn())
    assert report.classes['snapped'] == pytest.approx(1 / (WIDTH * HEIGHT))


def test_smooth_edges_are_refused(tmp_path):
    big = np.zeros((120, 120), np.uint8)
    big[30:90, 30:90] = 255
    big[30, 30:40] = np.arange(20, 120, 10)
    add_photos(tmp_path / 'photos', 'p0.jpg', size=(120, 120))
    save(big, tmp_path / 'masks/p0.png')
    with pytest.raises(ValueError, match='12 grey values.*smoothed.*--snap'):
        run(tmp_path)
    run(tmp_path, mapping={'0': 'a', '255': 'b'}, snap=True)
    check(tmp_path, (big > 127).astype(np.uint8))


def test_jpeg_masks_need_snap(tmp_path):
    put(tmp_path, drawn(255, 255), suffix='.jpg', quality=95)
    mapping = {'0': 'a', '255': 'b'}
    text, _ = faults(run, tmp_path, mapping=mapping)
    assert 'JPEG' in text and 'p0.jpg' in text and '--snap' in text
    report = run(tmp_path, mapping=mapping, snap=True)
    check(tmp_path, drawn(1, 1))
    assert report.classes['snapped'] > 0
    with pytest.raises(ValueError, match='--snap: name the true values'):
        run(tmp_path, snap=True, force=True)


@pytest.mark.parametrize('bad, words', [
    (np.full((HEIGHT, WIDTH), 1.5, np.float32), 'no whole number'),
    (np.full((HEIGHT, WIDTH), np.nan, np.float32), 'no whole number'),
    (np.full((HEIGHT, WIDTH), -3, np.int32), 'negative number -3'),
])
def test_numbers_that_are_no_ids(tmp_path, bad, words):
    put(tmp_path, drawn())
    save(bad, tmp_path / 'masks/p1.tif')
    text, _ = faults(run, tmp_path)
    assert 'p1.tif' in text and words in text


def test_broken_and_transparent_masks_at_once(tmp_path):
    put(tmp_path, drawn())
    (tmp_path / 'masks/p1.png').write_bytes(b'no image')
    alpha = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    alpha[0, 0, 3] = 255
    save(alpha, tmp_path / 'masks/p2.png')
    text, found = faults(run, tmp_path)
    assert 'p1.png: cannot be read' in text
    assert 'p2.png: is partly transparent' in text
    assert not (tmp_path / 'out').exists()


def test_voc_layout(tmp_path):
    add_photos(tmp_path / 'photos', 'p0.jpg')
    folder = tmp_path / 'voc/SegmentationClass'
    folder.mkdir(parents=True)
    palette_picture(drawn(1, 255), COLORS).save(folder / 'p0.png')
    names = tmp_path / 'voc/class_names.txt'
    names.write_text('_background_\nleaf\n')
    report = run(tmp_path, masks='voc')
    check(tmp_path, drawn(1, 255))
    assert report.format == 'voc'
    assert report.classes['names'] == ['background', 'leaf']


@pytest.mark.parametrize('as_palette', [False, True])
def test_cvat_mask_export(tmp_path, as_palette):
    add_photos(tmp_path / 'photos', 'p0.jpg')
    folder = tmp_path / 'cvat/SegmentationClass'
    folder.mkdir(parents=True)
    if as_palette:  # in an order that is not that of the label map
        picture = palette_picture(
            np.array([2, 0, 1], np.uint8)[drawn()], COLORS[[1, 2, 0]])
    else:
        picture = Image.fromarray(COLORS[drawn()])
    picture.save(folder / 'p0.png')
    (tmp_path / 'cvat/labelmap.txt').write_text(
        '# label:color_rgb:parts:actions\nbackground:0,0,0::\n'
        'leaf:255,0,0::\nweed:0,128,64::\n')
    report = run(tmp_path, masks='cvat')
    check(tmp_path, drawn())
    assert report.format == 'cvat-masks'
    assert report.classes['names'] == ['background', 'leaf', 'weed']
