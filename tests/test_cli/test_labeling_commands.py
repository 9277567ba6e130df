# Copyright (c) mmseg_semi authors.
"""mmseg-semi pseudo and next, and the way back by import --add-to."""
import json

import numpy as np
import pytest
from PIL import Image

from ..test_importing.helpers import lines, load
from ..test_labeling.given import model, project
from .test_main import call


@pytest.fixture
def trained(tmp_path):
    return model(project(tmp_path))


@pytest.mark.parametrize('form', ['png', 'coco', 'labelme', 'cvat'])
def test_reviewed_labels_become_training_images(trained, form, tmp_path,
                                                capsys):
    out, data = tmp_path / 'new', tmp_path / 'out'
    assert call('pseudo', *trained, '--out', out, '--threshold', '0.4',
                '--threshold', 'leaf=0.3', '--min-area', 4, '--format',
                f'{form},png', '--device', 'cpu') == 0
    text = capsys.readouterr().out
    assert '4 images labelled' in text and 'leaf' in text
    val, train = lines(data, 'val'), lines(data, 'train')
    where = dict(
        png='masks', coco='coco.json', cvat='cvat.xml').get(form, form)
    expected = {}
    for path in (out / 'masks').rglob('*.png'):
        if form == 'png':  # a review: what was unsure is background
            with Image.open(path) as image:
                mask, palette = np.array(image), image.getpalette()
            mask[mask == 255] = 0
            image = Image.fromarray(mask)
            image.putpalette(palette)
            image.save(path)
        name = f'{path.relative_to(out / "masks").with_suffix("")}.jpg'
        with Image.open(path) as image:
            expected[name] = np.asarray(image)
    assert call('import', tmp_path / 'photos', '--masks', out / where,
                '--add-to', data) == 0
    text = capsys.readouterr().out
    assert '(added)' in text and 'new --work-dir' in text
    assert lines(data, 'val') == val
    assert lines(data, 'train') == sorted([*train, *expected])
    for name, mask in expected.items():
        np.testing.assert_array_equal(load(data, name), mask)
    assert call('pseudo', *trained, '--out', tmp_path / 'again') == 1
    assert 'unlabelled.txt' in capsys.readouterr().err


def test_pseudo_in_json(trained, tmp_path, capsys):
    assert call('pseudo', *trained, tmp_path / 'photos', '--out',
                tmp_path / 'new', '--keep-suffix', '--json') == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report['images']) == 4
    assert report['left_out'] == dict(labelled=4, validation=1)
    assert report['thresholds'] == dict.fromkeys(report['pixels'], .95)
    assert (tmp_path / 'new/masks/free 0/0.jpg.png').is_file()


def test_next_names_images(trained, tmp_path, capsys):
    out = tmp_path / 'next'
    assert call('next', 2, *trained, '--out', out) == 0
    text = capsys.readouterr().out
    assert '4 images without a label' in text and '2 to label next' in text
    names = (out / 'next.txt').read_text().splitlines()
    assert len(names) == 2
    assert set(names) <= set(lines(tmp_path / 'out', 'unlabelled'))
    assert call('next', 2, *trained, '--out', out) == 1
    assert 'next.txt' in capsys.readouterr().err
    assert call('next', 2, *trained, tmp_path / 'photos', '--out', out,
                '--force', '--json') == 0
    report = json.loads(capsys.readouterr().out)
    assert [one['name'] for one in report['images']] == names
    assert report['left_out'] == dict(labelled=4, validation=1)


@pytest.mark.parametrize('arguments, status, text', [
    (['pseudo', '--threshold', '2'], 2, '2 is not in [0, 1]'),
    (['pseudo', '--threshold', 'leaf'], 2, "'leaf' is neither"),
    (['pseudo', '--threshold', 'cat=0.5'], 1, "no class 'cat'"),
    (['pseudo', '--format', 'voc'], 2, "'voc' is none of png, coco"),
    (['pseudo', '--min-area', '-1'], 2, '-1 is below 0'),
    (['next', '0'], 2, '0 is not above 0'),
    (['next', '50'], 1, 'only 4 are left'),
    (['next', '1', '@photos/a'], 1, 'No image is left: all 5'),
    (['next', '1', '@empty'], 1, 'There is no image in'),
    (['pseudo', '@empty'], 1, 'There is no image in'),
    (['pseudo', '@gone'], 1, 'There is no image, folder or list'),
])
def test_wrong_arguments(trained, arguments, status, text, tmp_path, capsys):
    (tmp_path / 'empty').mkdir()
    name, *rest = (text.replace('@', f'{tmp_path}/') for text in arguments)
    count = [rest.pop(0)] if name == 'next' else []
    assert call(name, *count, *trained, *rest, '--out',
                tmp_path / 'new') == status
    error = capsys.readouterr().err
    assert text in error and 'Traceback' not in error
    assert not (tmp_path / 'new').exists()


def test_choices_are_those_of_the_library():
    from mmseg_semi.cli import next_command, pseudo_command
    from mmseg_semi.labeling import choosing, forms
    assert next_command.CRITERIA == choosing.CRITERIA
    assert pseudo_command.FORMS == tuple(forms.FORMS)


def test_add_to_and_out(tmp_path, capsys):
    assert call('import', 'photos', '--masks', 'masks', '--out', 'a',
                '--add-to', 'b') == 1
    assert '--out and --add-to' in capsys.readouterr().err
