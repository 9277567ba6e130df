# Copyright (c) mmseg_semi authors.
from types import SimpleNamespace

import pytest

from mmseg_semi.analysis import (class_ids, class_names, class_palette,
                                 output_files, read_image)

NAMES = ['background', '0', '1']


def test_a_name_goes_before_an_id():
    assert class_ids(['1', 'background', '2', '1'], NAMES) == [2, 0]


@pytest.mark.parametrize('wrong', ['dog', '3', '-1'])
def test_unknown_class(wrong):
    with pytest.raises(ValueError, match=f"no class '{wrong}': use an id "):
        class_ids(['0', wrong], NAMES)


def test_names_and_palette_of_a_dataset():
    dataset = SimpleNamespace(metainfo=dict(palette=[[1, 2, 3]] * 3))
    assert class_names(dataset, 2) == ['0', '1']
    assert class_palette(dataset, 2) == [[1, 2, 3]] * 2
    assert class_palette(dataset, 4) is None
    dataset.metainfo['classes'] = NAMES
    with pytest.raises(ValueError, match='has 4 classes, the data set 3'):
        class_names(dataset, 4)


def test_images_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match='no image 2: the data set has 2'):
        read_image([1, 2], '2')
    with pytest.raises(FileNotFoundError, match='give a file, or the index'):
        read_image([1, 2], str(tmp_path / 'a.jpg'))
    (tmp_path / 'a.jpg').touch()
    with pytest.raises(ValueError, match='list has no pipeline'):
        read_image([1, 2], str(tmp_path / 'a.jpg'))


def test_existing_files_stay(tmp_path):
    out = str(tmp_path / 'a.png')
    assert [p.suffix for p in output_files(out)] == ['.png', '.npz', '.json']
    (tmp_path / 'a.npz').touch()
    with pytest.raises(FileExistsError, match=r'a\.npz exists already'):
        output_files(out)
    assert output_files(out, force=True)[0] == tmp_path / 'a.png'
    with pytest.raises(ValueError, match='must end in .png'):
        output_files('a.pdf')
