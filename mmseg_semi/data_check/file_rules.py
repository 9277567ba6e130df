# Copyright (c) mmseg_semi authors.
"""Rules about the files of one set: whole, of one size, of which format."""
import os
import os.path as osp
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator

from mmseg_semi.datasets.paths import nearest
from mmseg_semi.datasets.splits import IMAGE_SUFFIXES
from .facts import IMAGE, MASK, FileFacts
from .findings import ERROR, WARNING, Finding, gather
from .formats import PixelFormat
from .scan import MISSING, Facts
from .sets import BANDS, TEST, ImageSet

# 16 bits are cut to 8 by leaving out the lower ones.
_GREY_LEVEL = 256
_FEW_LEVELS = 64
_ALL_FORMATS = (None, BANDS)  # what loads them is not judged
_BY_BANDS = '; LoadBands does (docs/pixel_formats.md)'


def unreadable(images: ImageSet, facts: Facts) -> Iterator[Finding]:
    """Files that are missing, damaged, no images or too large."""
    bad = _problems(images, images.images, IMAGE, facts)
    tolerated = 0 < len(bad) <= images.tolerated
    yield from _bad_files(
        'unreadable-image', WARNING if tolerated else ERROR, images, bad,
        'Training skips and records these images.'
        if tolerated else 'Replace these images or take them off their list.')
    bad = _problems(images, images.masks or (), MASK, facts)
    if images.name == TEST and len(bad) == len(images.images):
        yield from gather(
            'no-masks', WARNING, images.name, [path for path, _ in bad],
            'no mask of the test set can be read',
            'Without masks there are no scores: `tools/test.py --out` only.')
        return
    yield from _bad_files(
        'unreadable-mask', ERROR, images, bad,
        'Every image of this set needs a mask: add it, replace it, or '
        'take the image off the list (data_prefix.seg_map_path and '
        'seg_map_suffix say where masks are looked for).')


def _bad_files(kind: str, severity: str, images: ImageSet,
               bad: list[tuple[str, str]], remedy: str) -> Iterator[Finding]:
    """One finding of all missing files, and one of each that is broken."""
    missing = [path for path, problem in bad if problem == MISSING]
    if missing:
        number = (f'{len(missing)} of {len(images.images)} do not exist'
                  if len(missing) > 1 else MISSING)
        yield from gather(kind, severity, images.name, missing,
                          f'{number}. {nearest(missing[0])}',
                          _misnamed(missing[0], kind, images) or remedy)
    for path, problem in bad:
        if problem != MISSING:
            yield Finding(kind, severity, images.name, path, problem, remedy)


def _misnamed(path: str, kind: str, images: ImageSet) -> str:
    """What is wrong with the list, where the name of a file tells it."""
    if '\\' in path and osp.exists(path.replace('\\', '/')):
        return 'Separate folders by / instead of \\ in the list.'
    setting = 'img_suffix' if kind == 'unreadable-image' else 'seg_map_suffix'
    meant = _meant(path, setting)
    if meant:
        return meant
    if kind != 'unreadable-image':
        return ''
    stem = osp.splitext(osp.relpath(path, (*images.folders, '.')[0]))[0]
    first, *others = re.split(r'[\s,;]+', stem)
    columns = ('bring it into one: '
               'tools/dataset_converters/import_splits.py.')
    if others and (first.lower().endswith(IMAGE_SUFFIXES)
                   or re.search('[\t,;]', stem)):
        return f'The list has several columns: {columns}'
    if stem.lower().endswith(IMAGE_SUFFIXES) and all(images.suffixes):
        name = osp.basename(stem)
        return (f'The list names files with their suffix: write '
                f'{osp.splitext(name)[0]} instead of {name}.')
    if others:
        return (f'If the list has several columns, {columns} Otherwise check '
                'the names in it.')
    return ''


def _meant(path: str, setting: str) -> str:
    """How to reach a file whose name is nearly this one; empty if none is."""
    folder, name = osp.split(path)
    stem = osp.splitext(name)[0]
    for other in sorted(os.listdir(folder)) if osp.isdir(folder) else ():
        found, end = osp.splitext(other)
        there = f'There is {osp.join(folder, other)}'
        if end.lower() not in IMAGE_SUFFIXES:
            continue
        if found == stem:
            return f'{there}: let {setting} end with {end!r}, or rename files.'
        if found + end[1:] == name:
            return f'{there}: {setting} begins with a dot, {end!r}.'
        if _plain(other) == _plain(name):
            return (f'{there}, which is spelt in another way (capital '
                    'letters, or accents as characters of their own): write '
                    'the names in the list as the files have them.')
    return ''


def _plain(name: str) -> str:
    """A name without what file systems and editors spell differently."""
    return unicodedata.normalize('NFC', name).casefold()


def sizes(images: ImageSet, facts: Facts) -> Iterator[Finding]:
    """Masks must have the size of their images."""
    for path, mask_path in images.pairs():
        image, mask = facts[path, IMAGE], facts[mask_path, MASK]
        if image.problem or mask.problem:
            continue
        loaded = _turned(image) if images.turns else image.size
        if mask.size == loaded:
            continue
        value = (f'mask {_text(mask.size)}, image {_text(loaded)} '
                 f'(width x height; {path})')
        remedy = ('Make the mask again in the size of its image, or pair it '
                  'with the right one.')
        if image.orientation > 4 and mask.size in (image.size,
                                                   image.size[::-1]):
            value += f'; EXIF orientation {image.orientation}'
            remedy = ('The photo is stored lying and turned when it is '
                      'loaded, its mask is not. Save the photo upright '
                      'without EXIF, or load it with '
                      'color_type="color_ignore_orientation".')
        yield Finding('size-differs', ERROR, images.name, mask_path, value,
                      remedy)


def rotations(images: ImageSet, facts: Facts) -> Iterator[Finding]:
    """Images that are turned while the size cannot tell whether masks are."""
    turned = []
    for path, mask_path in images.pairs():
        image = facts[path, IMAGE]
        square = image.width == image.height
        if images.turns and not image.problem and image.orientation > (1) and (
                image.orientation < 5 or square):
            turned.append(path)
    yield from gather(
        'exif-orientation', WARNING, images.name, turned,
        'turned or mirrored by EXIF when loaded; the sizes cannot tell '
        'whether the masks are drawn that way',
        'Look at one of them with its mask; save the photos upright without '
        'EXIF if they disagree.')


def formats(images: ImageSet, facts: Facts) -> Iterator[Finding]:
    """Images that are something else than their loader is made for.

    That is three bands of 8 bits; for LoadBands, which has one range for all
    files, what most of them are.
    """
    if images.color_type == BANDS:
        yield from _mixed(images, facts)
    if images.color_type in _ALL_FORMATS:
        return
    members = defaultdict(list)
    for path in images.images:
        image = facts[path, IMAGE]
        if not image.problem and (image.decoded or image.too_large):
            members[_bands(image), image.bits if image.bits > 8 else 8,
                    image.kind].append(path)
    for (bands, bits, kind), paths in sorted(members.items()):
        first = facts[paths[0], IMAGE].pixel_format
        share = f'{first}: {len(paths)} of {len(images.images)} images'
        if bits > 8 or kind != 'uint':
            yield from _deep(images, facts, paths, share)
        elif bands != 3 and images.color_type.startswith('color'):
            text = ('one band is copied to three'
                    if bands == 1 else 'three bands are kept')
            yield from gather(
                'pixel-format', WARNING, images.name, paths,
                f'{share}; {text}',
                'Nothing to do if that is meant; else load all bands with '
                f'LoadBands bands={bands} (docs/pixel_formats.md).')
    pages = [p for p in images.images if facts[p, IMAGE].frames > 1]
    yield from gather(
        'several-pages', WARNING, images.name, pages,
        'several pages in a file; the first one is loaded',
        'Save every page as a file of its own if all count; '
        'LoadBands takes pages for bands '
        '(docs/pixel_formats.md).')


def _mixed(images: ImageSet, facts: Facts) -> Iterator[Finding]:
    """Images of another kind than most."""
    members = defaultdict(list)
    for path in images.images:
        image = facts[path, IMAGE]
        if not image.problem:
            pixels = PixelFormat(image.bands * image.frames,
                                 max(image.bits, 8), image.kind)
            members[str(pixels)].append(path)
    kinds = sorted(members, key=lambda kind: -len(members[kind]))
    for kind in kinds[1:]:
        yield from gather(
            'pixel-format', WARNING, images.name, members[kind],
            f'{kind}: {len(members[kind])} of {len(images.images)} images; '
            f'most have {kinds[0]}',
            'LoadBands has one range and one choice of bands for all files: '
            'save these like the others, or take them off the list.')


def huge(images: ImageSet, facts: Facts) -> Iterator[Finding]:
    """Files whose pixels were not looked at."""
    for path, role in images.files():
        found = facts[path, role]
        if found.problem or not found.too_large:
            continue
        yield Finding(
            'huge-image', WARNING, images.name, path,
            f'{_text(found.size)} pixels; the header alone was checked',
            'Cut it into tiles: it is decoded as a whole for every crop.')


def _problems(images: ImageSet, paths: Iterable[str], role: str,
              facts: Facts) -> list[tuple[str, str]]:
    """Path and problem of the files that this set's loader cannot read."""
    bad = []
    for path in paths:
        found = facts[path, role]
        problem = found.problem
        if not (problem or found.decoded or found.too_large) and (
                role == MASK or images.color_type not in _ALL_FORMATS):
            problem = (f'has {found.pixel_format}: neither Pillow nor OpenCV '
                       f'decodes that{"" if role == MASK else _BY_BANDS}')
        if problem:
            bad.append((path, problem))
    return bad


def _deep(images: ImageSet, facts: Facts, paths: list[str],
          share: str) -> Iterator[Finding]:
    """More than 8 bits: what is left of the range after loading."""
    lows = [facts[p, IMAGE].low for p in paths]
    highs = [facts[p, IMAGE].high for p in paths]
    lows = [value for value in lows if value is not None]
    highs = [value for value in highs if value is not None]
    if lows:
        share += f', values {min(lows):g} to {max(highs):g}'
    bands = facts[paths[0], IMAGE].bands
    remedy = (f'Load them with LoadBands bands={bands}, range=(low, high) in '
              'their own numbers; mmseg_semi.pixel_statistics.measure_pixels '
              'measures it (docs/pixel_formats.md).')
    is_16 = facts[paths[0], IMAGE].pixel_format.bits == 16 and facts[
        paths[0], IMAGE].kind == 'uint'
    if images.color_type == 'unchanged':
        severity, effect = WARNING, 'they are loaded as they are'
        remedy = 'Set mean and std of the preprocessor for this range.'
    elif not is_16:
        severity, effect = ERROR, 'the loader of 8-bit images refuses them'
    else:
        levels = int(max(highs, default=65535)) // _GREY_LEVEL + 1
        severity = ERROR if levels < _FEW_LEVELS else WARNING
        effect = f'cut to 8 bits when loaded, {levels} of 256 levels are left'
    yield from gather('pixel-range', severity, images.name, paths,
                      f'{share}; {effect}', remedy)


def _bands(image: FileFacts) -> int:
    """Bands that matter: an alpha that hides nothing is none."""
    if image.opaque and image.mode in ('LA', 'PA', 'RGBA') and image.decoded:
        return image.bands - 1
    return image.bands


def _turned(image: FileFacts) -> tuple[int, int]:
    return image.size[::-1] if image.orientation > 4 else image.size


def _text(size: tuple[int, int]) -> str:
    return f'{size[0]} x {size[1]}'
