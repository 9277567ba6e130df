# Copyright (c) mmseg_semi authors.
import json
import unicodedata

import numpy as np
import pytest
from PIL import Image

from mmseg_semi.importing import ImportOptions, import_labels
from .helpers import (HEIGHT, WIDTH, add_photos, drawn, faults, lines, load,
                      run, save)


def content(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob('*') if path.is_file()
    }


def test_mixed_suffixes_folders_and_letters(tmp_path):
    names = ('a.jpg', 'b.JPG', 'c d.jpeg', 'e/ä.png', 'e/g.tif', 'h/x.jpg',
             'i/x.jpg')
    add_photos(tmp_path / 'photos', *names, '.hidden/z.jpg', 'free.jpg')
    for name in names:
        stem = unicodedata.normalize('NFD', name.rsplit('.', 1)[0])
        save(drawn(), tmp_path / 'masks' / f'{stem}.png')
    report = run(tmp_path)
    assert lines(tmp_path / 'out', 'train') == sorted(names)
    assert lines(tmp_path / 'out', 'unlabelled') == ['free.jpg']
    assert not (tmp_path / 'out/lists/val.txt').exists()
    for name in names:
        np.testing.assert_array_equal(load(tmp_path / 'out', name), drawn())
    assert report.split['images'] == dict(train=7, val=0, unlabelled=1)


def test_masks_of_one_folder_for_photos_of_several(tmp_path):
    add_photos(tmp_path / 'photos', 'a/1.jpg', 'b/2.jpg')
    for name in ('1', '2'):
        save(drawn(), tmp_path / 'masks' / f'{name}_mask.png')
    report = run(tmp_path)
    assert lines(tmp_path / 'out', 'train') == ['a/1.jpg', 'b/2.jpg']
    assert any("'_mask'" in note for note in report.notes)


def test_masks_beside_their_photos(tmp_path):
    add_photos(tmp_path / 'photos', 'a.png', 'b.png')
    save(drawn(), tmp_path / 'photos/a_gt.png')
    with pytest.raises(ValueError, match='photos, too.*--label-tail _mask'):
        run(tmp_path, masks='photos')
    run(tmp_path, masks='photos', label_tail='_gt')
    assert lines(tmp_path / 'out', 'train') == ['a.png']
    assert lines(tmp_path / 'out', 'unlabelled') == ['b.png']


def test_names_that_do_not_match(tmp_path):
    add_photos(tmp_path / 'photos', 'a/1.jpg', 'b/1.jpg', 'b/2.jpg', 'c.jpg')
    for name in ('1', 'b/2', 'x/2', 'lonely', 'c'):
        save(drawn(), tmp_path / 'masks' / f'{name}.png')
    text, found = faults(run, tmp_path)
    assert '1.png: a/1.jpg, b/1.jpg' in text
    assert 'photo with several labels' in text and 'b/2.png' in text
    assert 'lonely.png: there is no photo lonely' in text
    assert [f.fatal for f in found] == [True, False, True]


def test_nothing_matches(tmp_path):
    add_photos(tmp_path / 'photos', 'a.jpg')
    save(drawn(), tmp_path / 'masks/other.png')
    text, _ = faults(run, tmp_path)
    assert 'labels are called other.png; photos a.jpg' in text
    assert '--label-tail' in text


def test_sizes_are_listed_together_and_counted(tmp_path):
    for number in range(25):
        add_photos(tmp_path / 'photos', f'p{number:02d}.jpg', size=(9, 8))
        save(drawn(), tmp_path / 'masks' / f'p{number:02d}.png')
    (tmp_path / 'photos/p00.jpg').write_bytes(b'broken')
    text, _ = faults(run, tmp_path)
    assert 'p00.jpg: is no picture' in text
    add_photos(tmp_path / 'photos', 'p00.jpg', size=(9, 8))
    text, found = faults(run, tmp_path)
    assert len(found) == 25
    assert f'p00.png: {WIDTH}x{HEIGHT}; ' in text and 'is 9x8' in text
    assert text.count('.png: ') == 20 and 'and 5 more' in text
    assert not (tmp_path / 'out').exists()


def test_broken_photos_are_left_out_unless_labelled(tmp_path):
    add_photos(tmp_path / 'photos', 'p.jpg', 'free.jpg')
    save(drawn(), tmp_path / 'masks/p.png')
    (tmp_path / 'photos/page.jpg').write_text('<html>')
    report = run(tmp_path)
    assert [
        f.path for f in report.warnings
        if f.kind == 'photo that cannot be read'
    ] == [str(tmp_path / 'photos/page.jpg')]
    assert lines(tmp_path / 'out', 'unlabelled') == ['free.jpg']


def rotated(tmp_path, orientation, size):
    exif = Image.Exif()
    exif[0x0112] = orientation
    add_photos(tmp_path / 'photos', 'p.jpg', size=size, exif=exif)


@pytest.mark.parametrize('orientation', range(2, 9))
def test_exif(tmp_path, orientation):
    """Labels fit the upright photo, or are turned when that is asked for."""
    rotated(tmp_path, orientation, (WIDTH, HEIGHT))
    stored = drawn()
    save(stored, tmp_path / 'masks/p.png')
    if orientation >= 5:
        text, _ = faults(run, tmp_path)
        assert 'before the EXIF rotation only' in text
        assert f'orientation {orientation}' in text
        assert '--rotate-masks' in text
    else:
        warnings = run(tmp_path).warnings
        assert 'sizes cannot tell' in warnings[0].kind
    run(tmp_path, rotate_masks=True, force=True)
    from PIL import ImageOps
    picture = Image.fromarray(stored)
    picture.getexif()[0x0112] = orientation
    np.testing.assert_array_equal(
        load(tmp_path / 'out', 'p.jpg'),
        np.asarray(ImageOps.exif_transpose(picture)))


def test_upright_labels_of_rotated_photos_stay(tmp_path):
    rotated(tmp_path, 6, (HEIGHT, WIDTH))
    save(drawn(), tmp_path / 'masks/p.png')
    run(tmp_path, rotate_masks=True)
    np.testing.assert_array_equal(load(tmp_path / 'out', 'p.jpg'), drawn())


def some(tmp_path, number=10, free=2):
    for index in range(number + free):
        add_photos(tmp_path / 'photos', f's{index % 5}_{index:02d}.jpg')
        if index < number:
            save(drawn(), tmp_path / 'masks' / f's{index % 5}_{index:02d}.png')


def test_again_is_unchanged_and_other_inputs_are_refused(tmp_path):
    some(tmp_path)
    assert run(tmp_path, val=.2).state == 'written'
    out = tmp_path / 'out'
    before = content(out)
    assert run(tmp_path, val=.2).state == 'unchanged'
    assert content(out) == before
    for change in (dict(seed=1), dict(val=.3)):
        with pytest.raises(FileExistsError, match='settings.*--force'):
            run(tmp_path, **{'val': .2, **change})
    save(drawn(2, 1), tmp_path / 'masks/s0_00.png')
    with pytest.raises(FileExistsError, match='inputs'):
        run(tmp_path, val=.2)
    assert content(out) == before
    (out / 'config.py').write_text('mine')
    assert run(tmp_path, val=.2, force=True).state == 'replaced'
    assert (out / 'config.py').read_text() == 'mine'
    np.testing.assert_array_equal(load(out, 's0_00.jpg'), drawn(2, 1))
    (out / 'lists/train.txt').write_text('s1_01.jpg\n')
    with pytest.raises(FileExistsError, match='train.txt.*changed'):
        run(tmp_path, val=.2)


def test_foreign_folders_are_never_touched(tmp_path):
    some(tmp_path)
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out/thesis.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='not written by'):
        run(tmp_path, force=True)
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['thesis.txt']
    for out in ('photos/x', 'masks', 'photos'):
        with pytest.raises(ValueError, match='--out.*outside'):
            import_labels(
                str(tmp_path / 'photos'), str(tmp_path / 'masks'),
                str(tmp_path / out))


def test_dry_run_tells_and_writes_nothing(tmp_path):
    some(tmp_path)
    said = []
    report = import_labels(
        str(tmp_path / 'photos'),
        str(tmp_path / 'masks'),
        str(tmp_path / 'out'),
        dry_run=True,
        say=said.append)
    assert report.state == 'planned' and not (tmp_path / 'out').exists()
    assert any('1 -> 1 class_1' in line for line in said)


def test_split_and_its_record(tmp_path):
    some(tmp_path, number=10, free=5)
    report = run(tmp_path, val=.2, group_by='prefix:s[0-9]')
    out = tmp_path / 'out'
    val, train = lines(out, 'val'), lines(out, 'train')
    groups = {name[:2] for name in val}
    assert len(val) == 2 and len(groups) == 1
    assert not groups & {name[:2] for name in train}
    free = lines(out, 'unlabelled')
    assert len(free) == 4 and not groups & {name[:2] for name in free}
    record = json.loads((out / 'split.json').read_text())
    assert record == report.split
    assert record['seed'] == 0 and record['group_by'] == 'prefix:s[0-9]'
    assert record['images_per_class']['val'] == dict(
        background=2, class_1=2, class_2=2)
    assert len(record['left_out']) == 1
    assert any('left out' in w.kind for w in report.warnings)


def test_classes_that_a_set_lacks(tmp_path):
    some(tmp_path, number=4, free=0)
    save(drawn(1, 3), tmp_path / 'masks/s0_00.png')
    report = run(tmp_path, val=.5, classes=tuple('abcde'))
    kinds = {(w.kind, w.path) for w in report.warnings}
    assert ('class without a pixel', 'e') in kinds
    assert {k
            for k, path in kinds if path == 'd'} & {
                'class that no training image has',
                'class that no validation image has'
            }


def test_missing_places(tmp_path):
    add_photos(tmp_path / 'photos', 'a.jpg')
    with pytest.raises(FileNotFoundError, match='--masks: there is no'):
        run(tmp_path)
    (tmp_path / 'masks').mkdir()
    with pytest.raises(ValueError, match='holds no file'):
        run(tmp_path)
    (tmp_path / 'masks/notes.doc').write_text('x')
    with pytest.raises(ValueError, match='no labels that are known'):
        run(tmp_path)
    with pytest.raises(FileNotFoundError, match='PHOTOS'):
        import_labels(
            str(tmp_path / 'none'), str(tmp_path / 'masks'),
            str(tmp_path / 'out'))
    assert ImportOptions().val == .2
