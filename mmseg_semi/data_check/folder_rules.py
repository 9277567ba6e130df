# Copyright (c) mmseg_semi authors.
"""Rules about which files of its folders a set takes."""
import os.path as osp
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from mmseg_semi.datasets.folders import is_hidden
from mmseg_semi.datasets.paths import first_few
from mmseg_semi.datasets.splits import IMAGE_SUFFIXES, image_id
from .findings import ERROR, WARNING, Finding, gather
from .sets import LABELLED, SOURCE, ImageSet

# Pictures that loaders do not read, but that people have.
_OTHER_SUFFIXES = ('.heic', '.heif', '.avif', '.jfif', '.jpe', '.gif', '.jp2',
                   '.jxl', '.dng', '.cr2', '.nef', '.arw', '.npy', '.dcm')


def empty(images: ImageSet) -> Iterator[Finding]:
    """Sets without an image."""
    if not images.images:
        folder = first_few(images.folders) or images.where
        yield Finding(
            'empty-set', ERROR, images.name, folder,
            f'no image with a name that ends with '
            f'{first_few(images.suffixes)}',
            'Check data_root, data_prefix, img_suffix and ann_file.')


def hidden(images: ImageSet) -> Iterator[Finding]:
    """Images of hidden folders, such as .ipynb_checkpoints."""
    found = [
        path for path in images.images if any(
            is_hidden(osp.relpath(path, folder)) for folder in images.folders
            if _is_below(path, folder)) and osp.exists(path)
    ]
    yield from gather(
        'hidden-folder', WARNING, images.name, found,
        'in a hidden folder, and taken into the set',
        'Remove the folder (editors keep copies there), or name the images '
        'in a list.')


def loops(images: ImageSet) -> Iterator[Finding]:
    """Symbolic links that lead back to a folder above them."""
    if not images.searched:
        return
    for listing in images.listings.values():
        for link, target in listing.loops.items():
            yield Finding(
                'link-loop', WARNING, images.name, link,
                f'a link to {target}, which holds it',
                'Remove the link: a search that follows it does not end.')


def left_out(sets: Sequence[ImageSet]) -> Iterator[Finding]:
    """Pictures of searched folders that a set leaves out by their suffix."""
    masks = {
        osp.abspath(path)
        for images in sets
        for path in images.masks or ()
    }
    for images in sets:
        if not images.searched:
            continue
        ends = {osp.splitext(suffix)[1] for suffix in images.suffixes}
        found = defaultdict(list)
        for folder, listing in images.listings.items():
            for name in listing.files:
                end = osp.splitext(name)[1]
                path = osp.join(folder, name)
                if images.takes(name) or end in ends or end.lower(
                ) not in IMAGE_SUFFIXES + _OTHER_SUFFIXES:
                    continue
                if osp.abspath(path) not in masks:
                    found[end].append(path)
        for end, paths in sorted(found.items()):
            yield from gather(
                'left-out', WARNING, images.name, paths,
                f'{len(paths)} with the suffix {end}; the set takes '
                f'{", ".join(images.suffixes)} only',
                'Rename or convert them if they belong to the set, or move '
                'them away.')


def equal_names(images: ImageSet) -> Iterator[Finding]:
    """Images of one name in several folders: outputs would overwrite."""
    if images.name in (LABELLED, SOURCE):  # nothing is written for them
        return
    stems = [osp.basename(image_id(path)) for path in images.images]
    counts = Counter(stems)
    repeated = [
        path for path, stem in zip(images.images, stems) if counts[stem] > 1
    ]
    if len({osp.dirname(path) for path in repeated}) > 1:
        stem = osp.basename(image_id(repeated[0]))
        others = [p for p, s in zip(images.images, stems) if s == stem]
        yield from gather(
            'equal-names', WARNING, images.name, repeated,
            f'{len(repeated)} images share their name with one of another '
            f'folder: {first_few(others, 2)}',
            'Rename them, or write outputs into one folder for each of '
            'theirs: files named after the image alone overwrite another.')


def _is_below(path: str, folder: str) -> bool:
    return osp.abspath(path).startswith(osp.join(osp.abspath(folder), ''))
