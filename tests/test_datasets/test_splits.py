# Copyright (c) mmseg_semi authors.
import hashlib
import os
import pickle
from pathlib import Path

import pytest

from mmseg_semi.datasets.split_import import (import_list, parse_published,
                                              write_list)
from mmseg_semi.datasets.splits import (identify, image_id, known_splits,
                                        read_list, split_hash, stem, stems,
                                        verify_split)

ROOT = Path(__file__).resolve().parents[2]
LISTS = Path(
    os.environ.get('MMSEG_SEMI_SPLITS', ROOT.parent / 'shared/data/splits'))
FULL = {
    'voc12-trainaug': 'voc12/trainaug.txt',
    'voc12-val': 'voc12/val.txt',
    'city-train': 'city/train.txt',
    'city-val': 'city/val.txt'
}
PUBLISHED = sorted(
    name for name, split in known_splits().items()
    if name.startswith(('voc', 'city', 'coco')) and split['sha256'])
COUNTED = [n for n, s in known_splits().items() if s['sha256'] is None]


def published_file(name):
    if name in FULL:
        path = LISTS / FULL[name]
    else:
        family = max(
            (f for f in ('voc12-classic', 'voc12-blended-u2pl',
                         'voc12-blended-cps', 'voc12-pseudoseg', 'city-u2pl',
                         'city-cps', 'city-unimatch', 'coco-brpg',
                         'coco-unimatch') if name.startswith(f)),
            key=len)
        path = LISTS / family / name[len(family) + 1:] / 'labeled.txt'
    if not path.is_file():
        pytest.skip(f'no published lists in {LISTS} (MMSEG_SEMI_SPLITS)')
    return path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize('entry, ident', [
    ('2007_000032', '2007_000032'),
    ('JPEGImages/2007_000032.jpg', 'JPEGImages/2007_000032'),
    ('/images/train/jena_000078_000019.png',
     'images/train/jena_000078_000019'),
    ('leftImg8bit/train/jena/jena_000078_000019_leftImg8bit.png',
     'leftImg8bit/train/jena/jena_000078_000019'),
    ('jena_000078_000019_gtFine.png', 'jena_000078_000019'),
    ('jena_000078_000019_gtFine_labelTrainIds.png', 'jena_000078_000019'),
    ('a.v2', 'a.v2'),
    ('rooms\\3\\A.JPG', 'rooms/3/A'),
])
def test_image_id(entry, ident):
    assert image_id(entry) == ident
    assert stem(entry) == ident.split('/')[-1]


def test_hash_ignores_order_repetition_folder_and_suffix():
    expected = hashlib.sha256(b'a\nb\nc').hexdigest()
    assert split_hash(['c', 'a', 'b']) == expected
    assert split_hash(['x/c.jpg', 'x/a.jpg', 'b.png', 'b']) == expected
    assert split_hash(['a', 'b']) != expected


def test_colliding_stems_keep_their_folders():
    assert stems(['r1/a', 'r2/a', 'r2/b']) == ['r1/a', 'r2/a', 'r2/b']


def test_known_splits_are_complete_and_unique_up_to_equal_lists():
    known = known_splits()
    assert len(PUBLISHED) == 39
    for split in known.values():
        assert split['count'] > 0
        assert split['sha256'] is None or len(split['sha256']) == 64
    assert len(COUNTED) == 3 * 6 + 3 * 3 and all('-cmb' in n for n in COUNTED)
    for a, b in (('voc12-classic-92', 'voc12-pseudoseg-1_16'),
                 ('voc12-classic-366', 'voc12-pseudoseg-1_4'),
                 ('coco-brpg-1_128', 'coco-unimatch-1_128')):
        assert known[a]['sha256'] == known[b]['sha256']
    assert known['voc12-classic-732']['sha256'] != known[
        'voc12-pseudoseg-1_2']['sha256']
    for size in (186, 372, 744, 1488):
        assert known[f'city-cps-{size}']['sha256'] != known[
            f'city-u2pl-{size}']['sha256']


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_lists_import_to_their_hash(name, tmp_path):
    source = published_file(name)
    wanted = known_splits()[name]
    (target, state), = import_list(str(source), str(tmp_path), name)
    entries = read_list(target)
    assert state == 'written' and len(entries) == wanted['count']
    assert entries == sorted(entries)
    bare = sorted(e.split('/')[-1] for e in entries)
    digest = hashlib.sha256('\n'.join(bare).encode()).hexdigest()
    assert digest == wanted['sha256']
    verify_split(target, entries)
    assert name in identify(entries)
    for entry in entries:
        city, _, name_in_city = entry.rpartition('/')
        assert city == (name_in_city.split('_')[0] if 'city' in name else '')


def test_import_recognises_a_list_by_its_content(tmp_path):
    source = published_file('voc12-classic-92')
    done = import_list(str(source), str(tmp_path))
    assert [(Path(path).name, state) for path, state in done
            ] == [('voc12-classic-92.txt', 'written'),
                  ('voc12-pseudoseg-1_16.txt', 'written')]
    assert [state for _, state in import_list(str(source), str(tmp_path))
            ] == ['unchanged', 'unchanged']


FORMATS = {
    'stems': 'b\na\n',
    'no final newline': 'b\na',
    'pairs': 'JPEGImages/b.jpg SegmentationClass/b.png\n'
             'JPEGImages/a.jpg SegmentationClass/a.png',
    'tabs and a slash': '/images/train/b.png\t/seg/train/b_gtFine.png\n'
                        '/images/train/a.png\t/seg/train/a_gtFine.png\n',
    'paths': 'train/b.jpg\r\n\r\ntrain/a.jpg\r\n\r\n',
    'byte order mark': '\ufeffb\na\n',
}  # yapf: disable


@pytest.mark.parametrize('kind', FORMATS)
def test_formats(kind, tmp_path):
    path = write(tmp_path / 'list.txt', FORMATS[kind])
    assert parse_published(path) == ['a', 'b']


def test_cityscapes_lines_carry_the_city(tmp_path):
    path = write(tmp_path / 'list.txt',
                 '/images/train/jena_000078_000019.png\t/x_gtFine.png\n')
    assert parse_published(path) == ['jena/jena_000078_000019']


@pytest.mark.parametrize('text, words', [
    ('', 'is empty'),
    ('\n \n', 'is empty'),
    ('a\nx/a.jpg\n', 'line 2 .* names the same image as line 1'),
    ('a b c\n', 'has 3 columns'),
    ('../a.jpg\n', r'leaves the image folder'),
    ('http://x.org/a.jpg\n', 'is a URL'),
    ('a\0b\n', 'NUL'),
    (b'\xff\xfe', 'not a UTF-8 text file'),
    (pickle.dumps(['a']), 'not a UTF-8 text file'),
])
def test_what_is_no_published_list(text, words, tmp_path):
    path = write(tmp_path / 'list.txt', text)
    with pytest.raises(ValueError, match=words) as err:
        parse_published(path)
    assert path in str(err.value)


def test_unknown_list_needs_a_name(tmp_path):
    path = write(tmp_path / 'list.txt', 'b\na\n')
    with pytest.raises(ValueError, match='2 images, SHA-256 .* --name'):
        import_list(path, str(tmp_path / 'out'))
    (target, _), = import_list(path, str(tmp_path / 'out'), 'mine')
    assert read_list(target) == ['a', 'b']


@pytest.mark.parametrize('name', ['../mine', 'a/b', '.hidden'])
def test_names_stay_in_the_folder(name, tmp_path):
    path = write(tmp_path / 'list.txt', 'b\na\n')
    with pytest.raises(ValueError, match='plain file name'):
        import_list(path, str(tmp_path / 'out'), name)


def test_known_name_with_other_images_is_refused(tmp_path):
    path = write(tmp_path / 'list.txt', 'b\na\n')
    with pytest.raises(ValueError, match='holds 2 images .* 92 images'):
        import_list(path, str(tmp_path / 'out'), 'voc12-classic-92')
    assert not (tmp_path / 'out').exists()


def test_error_says_which_published_list_it_really_is(tmp_path):
    source = published_file('voc12-blended-cps-662')
    with pytest.raises(ValueError, match='those of voc12-blended-cps-662'):
        import_list(str(source), str(tmp_path), 'voc12-blended-u2pl-662')


def test_a_different_file_is_not_overwritten(tmp_path):
    path = str(tmp_path / 'x.txt')
    assert write_list(path, ['a']) == 'written'
    assert write_list(path, ['a']) == 'unchanged'
    with pytest.raises(FileExistsError, match='x.txt exists and differs'):
        write_list(path, ['b'])
    assert read_list(path) == ['a']
    assert write_list(path, ['b'], force=True) == 'written'
    assert read_list(path) == ['b']
    assert os.listdir(tmp_path) == ['x.txt']


@pytest.mark.parametrize('text, words', [
    ('', 'is empty'),
    ('\n\n', 'is empty'),
    ('a\n\nb\n', r'line 2 \(\'\'\) is blank'),
    ('a\nb\n\n', 'line 3 .* is blank'),
    ('a\nb\na\n', r"line 3 \('a'\) repeats line 1"),
    ('../secret/x\n', 'leaves the image folder'),
    ('a\nx/../../y\n', 'line 2 .* leaves the image folder'),
    ('..\\x\n', 'leaves the image folder'),
    ('/etc/passwd\n', 'is an absolute path'),
    ('~/x\n', 'is an absolute path'),
    ('C:\\x\n', 'is an absolute path'),
    ('\\\\host\\x\n', 'is an absolute path'),
    ('https://a.b/c\n', 'is a URL'),
    ('a\0\n', 'NUL'),
    ('\ufeffa\n', 'byte order mark'),
    (b'\xff\xfe\n', 'not a UTF-8 text file'),
])
def test_strict_lists(text, words, tmp_path):
    path = write(tmp_path / 'list.txt', text)
    with pytest.raises(ValueError, match=words) as err:
        read_list(path)
    assert path in str(err.value)


@pytest.mark.parametrize('text', ['a\nb..c\nd/e', 'a\r\nb..c\r\nd/e\r\n'])
def test_good_lists(text, tmp_path):
    path = write(tmp_path / 'list.txt', text)
    assert read_list(path) == ['a', 'b..c', 'd/e']


def test_of_some_published_lists_the_number_alone_is_checked():
    entries = [f'{i:04d}' for i in range(212)]
    verify_split('lists/voc12-cmb0-212.txt', entries)
    assert not set(identify(entries)) & set(COUNTED)
    with pytest.raises(ValueError, match='211 images instead of 212'):
        verify_split('lists/voc12-cmb0-212.txt', entries[1:])
