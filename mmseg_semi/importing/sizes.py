# Copyright (c) mmseg_semi authors.
"""Whether labels fit their photographs."""
from collections.abc import Container, Iterable

from PIL import UnidentifiedImageError

from .findings import Findings
from .labels import Label
from .photos import Photo

_TURN = ('Save the photo upright (its pixels turned, the EXIF tag gone) or '
         'turn the label; --rotate-masks turns the masks of all such photos.')


def readable_photos(photos: Iterable[Photo], labelled: Container[Photo],
                    findings: Findings) -> list[Photo]:
    """Photographs whose header can be read.

    Args:
        photos (Iterable[Photo]): All.
        labelled (Container[Photo]): Those with a label.
        findings (Findings): Gets the others: errors where a label would be
            lost, else warnings.

    Returns:
        list[Photo]: What is left.
    """
    readable = []
    for photo in photos:
        try:
            photo.size
        except Exception as error:  # decoders raise types of their own
            if isinstance(error, UnidentifiedImageError):
                error = 'is no picture of a kind that is known'
            if photo in labelled:
                findings.error('labelled photo that cannot be read',
                               photo.path, error,
                               'Replace the file, or take its label away.')
            else:
                findings.warn('photo that cannot be read', photo.path, error,
                              'It is left out. Replace the file to have it.')
        else:
            readable.append(photo)
    return readable


def check_sizes(pairs: dict[Photo, Label], rotate: bool,
                findings: Findings) -> set[Photo]:
    """Compare the sizes of labels and photographs.

    Training turns photographs the way EXIF says, so labels have to fit the
    upright picture.

    Args:
        pairs (dict[Photo, Label]): What belongs together; headers are fine.
        rotate (bool): Whether labels of stored pictures may be turned.
        findings (Findings): Gets what does not fit (errors) and photos of
            which sizes cannot tell (warnings).

    Returns:
        set[Photo]: Those whose labels are to be turned.
    """
    turned = set()
    for photo, label in pairs.items():
        size = label.size or photo.size
        if size == photo.size and size == photo.stored_size:
            if photo.orientation == 1:
                continue
            if rotate:
                turned.add(photo)
                continue
            findings.warn(
                'photo with an EXIF rotation that sizes cannot tell',
                photo.path, f'orientation {photo.orientation}, {_text(size)}',
                'Look whether its label was drawn on the turned picture; if '
                'not, turn it (--rotate-masks).')
        elif size == photo.size:
            continue
        elif size == photo.stored_size:
            if rotate:
                turned.add(photo)
            else:
                findings.error(
                    'label that fits its photo before the EXIF rotation only',
                    label.path,
                    f'{_text(size)}; {photo.path} has the orientation '
                    f'{photo.orientation} and is {_text(photo.size)} upright',
                    _TURN)
        else:
            findings.error(
                'label of another size than its photo', label.path,
                f'{_text(size)}; {photo.path} is {_text(photo.size)}',
                'Export labels in the size of the photos (sizes are width x '
                'height).')
    return turned


def _text(size: tuple[int, int]) -> str:
    return f'{size[0]}x{size[1]}'
