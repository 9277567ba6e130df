# Copyright (c) mmseg_semi authors.
import json

import numpy as np
import pytest
from PIL import Image

from mmseg_semi.datasets.written_trees import verify_tree
from mmseg_semi.importing import ImportOptions, add_labels, import_labels
from .helpers import add_photos, drawn, faults, lines, load, save

NAMES = ('background', 'leaf', 'stem')


@pytest.fixture
def project(tmp_path):
    """Five labelled photos, one or two of them for validation, four free."""
    for number in range(5):
        add_photos(tmp_path / 'photos', f'a/{number}.jpg')
        save(drawn(), tmp_path / f'masks/a/{number}.png')
    add_photos(tmp_path / 'photos', *(f'free/{n}.jpg' for n in range(4)))
    import_labels(
        str(tmp_path / 'photos'), str(tmp_path / 'masks'),
        str(tmp_path / 'out'), ImportOptions(classes=NAMES))
    return tmp_path


def add(project, masks='more', **settings):
    options = {
        key: settings.pop(key)
        for key in list(settings) if key not in ('force', 'dry_run')
    }
    return add_labels(
        str(project / 'photos'), str(project / masks), str(project / 'out'),
        ImportOptions(**options), **settings)


def test_photos_join_the_training_list_and_validation_stays(project):
    out = project / 'out'
    val, train = lines(out, 'val'), lines(out, 'train')
    mask = drawn()
    mask[:2] = 255
    save(mask, project / 'more/free/1.png')
    report = add(project)
    assert (report.state, report.warnings) == ('added', [])
    assert lines(out, 'val') == val
    assert lines(out, 'train') == [*train, 'free/1.jpg']
    assert lines(out, 'unlabelled') == [f'free/{n}.jpg' for n in (0, 2, 3)]
    np.testing.assert_array_equal(load(out, 'free/1.jpg'), mask)
    verify_tree(out)
    assert report.classes['ignored_pixels'] == int((mask == 255).sum())
    assert report.classes['images'] == dict.fromkeys(NAMES, 6)
    assert report.split['images'] == dict(
        train=len(train) + 1, val=len(val), unlabelled=3)
    assert report.split['images_per_class']['train']['leaf'] == len(train) + 1
    assert report.split['added'] == [['free/1.jpg']]
    assert add(project).state == 'unchanged'


def test_only_255_beside_one_class_is_no_class(project):
    """Two classes could be taken for the values 1 and 255."""
    mask = np.where(drawn() == 1, 1, 255).astype(np.uint8)
    save(mask, project / 'more/free/0.png')
    add(project)
    np.testing.assert_array_equal(load(project / 'out', 'free/0.jpg'), mask)


def test_names_decide_whatever_their_order(project):
    corners = [[3, 2], [10, 7]]
    content = dict(
        imageWidth=20,
        imageHeight=14,
        shapes=[dict(label='stem', points=corners, shape_type='rectangle')])
    path = project / 'more/free/2.json'
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    add(project)
    expected = np.zeros_like(drawn())
    expected[2:8, 3:11] = 2
    np.testing.assert_array_equal(
        load(project / 'out', 'free/2.jpg'), expected)
    content['shapes'][0]['label'] = 'stemm'
    path.write_text(json.dumps(content))
    assert "'stem' is near" in faults(add, project)[0]


def test_photos_of_validation_are_refused(project):
    name = lines(project / 'out', 'val')[0]
    save(drawn(2, 1), project / 'more' / name.replace('jpg', 'png'))
    save(drawn(), project / 'more/free/0.png')
    text, _ = faults(add, project)
    assert f'{name} is one of its photos' in text
    assert len(lines(project / 'out', 'unlabelled')) == 4


def test_a_folder_that_grew(project):
    """With all the labels that are there already, also for validation."""
    save(drawn(2, 1), project / 'masks/free/0.png')
    train, val = (lines(project / 'out', n) for n in ('train', 'val'))
    assert add(project, 'masks').state == 'added'
    assert lines(project / 'out', 'train') == [*train, 'free/0.jpg']
    assert lines(project / 'out', 'val') == val


def test_photos_are_no_masks(project):
    with pytest.raises(ValueError, match='holds the photos, too'):
        add(project, 'photos')


def test_groups_of_validation_are_refused(project):
    import_labels(
        str(project / 'photos'), str(project / 'masks'),
        str(project / 'grouped'),
        ImportOptions(classes=NAMES, group_by='prefix:[0-9]'))
    name = lines(project / 'grouped', 'val')[0]
    twin = name.replace('.jpg', '_later.jpg')
    add_photos(project / 'photos', twin)
    save(drawn(), project / 'more' / twin.replace('jpg', 'png'))
    text, _ = faults(add_labels, str(project / 'photos'),
                     str(project / 'more'), str(project / 'grouped'))
    assert f'{twin} is of its group' in text


def test_other_labels_need_force(project):
    name = lines(project / 'out', 'train')[0]
    path = project / 'more' / name.replace('jpg', 'png')
    save(drawn(), path)
    assert add(project).state == 'unchanged'
    save(drawn(2, 1), path)
    assert 'replace the old label with --force' in faults(add, project)[0]
    assert add(project, force=True).state == 'added'
    np.testing.assert_array_equal(load(project / 'out', name), drawn(2, 1))


def test_masks_that_ignore_everything_are_left_out(project):
    save(np.full_like(drawn(), 255), project / 'more/free/0.png')
    save(drawn(), project / 'more/free/1.png')
    report = add(project)
    assert [f.value for f in report.warnings] == ['free/0.jpg']
    assert 'free/0.jpg' in lines(project / 'out', 'unlabelled')


def test_the_last_unlabelled_photo(project):
    for number in range(4):
        save(drawn(), project / f'more/free/{number}.png')
    report = add(project)
    assert 'no photo without a label' in report.warnings[0].kind
    assert not (project / 'out/lists/unlabelled.txt').exists()


def test_what_does_not_fit_is_refused(project):
    save(drawn(), project / 'more/free/0.png')
    before = (project / 'out/lists/train.txt').read_bytes()
    for options, text in ((dict(seed=1), '--seed: of no use'),
                          (dict(val=.5), '--val: of no use'),
                          (dict(group_by='folder'), '--group-by: of no use'),
                          (dict(classes=('x', 'y')), '--classes: x, y;')):
        with pytest.raises(ValueError, match=text):
            add(project, **options)
    with pytest.raises(FileNotFoundError, match='--add-to.*classes.json'):
        add_labels(
            str(project / 'photos'), str(project / 'more'),
            str(project / 'more'))
    add_photos(project / 'others', 'x.jpg')
    with pytest.raises(ValueError, match='not of .*others'):
        add_labels(
            str(project / 'others'), str(project / 'more'),
            str(project / 'out'))
    save(np.full_like(drawn(), 7), project / 'more/free/1.png')
    assert '1.png: 7' in faults(add, project)[0]
    assert (project / 'out/lists/train.txt').read_bytes() == before
    assert add(
        project,
        dry_run=True,
        mapping={
            '0': 'background',
            '1': 'leaf',
            '2': 'stem',
            '7': 'stem'
        }).state == 'planned'
    assert (project / 'out/lists/train.txt').read_bytes() == before


def test_a_folder_changed_by_hand(project):
    save(drawn(), project / 'more/free/0.png')
    name = lines(project / 'out', 'train')[0]
    mine = np.zeros_like(drawn())
    Image.fromarray(mine).save(project / 'out/masks' / f'{name}.png')
    with pytest.raises(FileExistsError, match='changed.*--force'):
        add(project)
    report = add(project, force=True)
    np.testing.assert_array_equal(load(project / 'out', name), mine)
    assert report.classes['images']['leaf'] == 5
    verify_tree(project / 'out')


def test_names_from_classes_json(tmp_path):
    from mmseg_semi.importing.options import parse_classes
    path = tmp_path / 'classes.json'
    path.write_text(json.dumps(dict(names=['a', 'b'])))
    assert parse_classes(str(path)) == ('a', 'b')
    for text in ('[]', '{"names": [1, 2]}', 'x'):
        path.write_text(text)
        with pytest.raises(ValueError, match='no classes.json'):
            parse_classes(str(path))
