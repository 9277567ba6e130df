# Copyright (c) mmseg_semi authors.
"""What one image or mask file is, read once."""
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image

from mmseg_semi.datasets.transforms.file_checks import find_damage
from .formats import PixelFormat, pixel_format, tiff_header

IMAGE, MASK = 'image', 'mask'
# Larger files are not decoded: 128 MiB in Pillow's memory is enough.
MAX_PIXELS = 1 << 25
MAX_BYTES = 1 << 28
# OpenCV decodes these whatever their size; the others go through Pillow,
# which refuses more than twice its limit.
_WITHOUT_LIMIT = ('JPEG', 'PNG', 'MPO')
PILLOW_LIMIT = 2 * (Image.MAX_IMAGE_PIXELS or 89478485)
_MAX_IDS = 1000
_MAX_COLOURS = 256
_FEW_COLOURS = 16
_ORIENTATION = 0x0112


@dataclass(slots=True)
class FileFacts:
    """Facts of a file; those after ``problem`` hold if it is empty.

    Attributes:
        problem (str): Why it cannot be read; empty if it can.
        width (int): Pixels, as stored (before an EXIF rotation).
        height (int): Pixels, as stored.
        format (str): Pillow's name of the file format, ``'JPEG'``.
        mode (str): Pillow's mode; empty if Pillow does not know it.
        bands (int): Values of a pixel.
        bits (int): Bits of a value.
        kind (str): ``'uint'``, ``'int'`` or ``'float'``.
        orientation (int): EXIF orientation, 1 to 8; 1 is upright.
        frames (int): Pages of a TIFF, pictures of an animation.
        decoded (bool): Whether the pixels were looked at. If not, nothing
            below is known but ``digest``, which is that of the file: it is
            too large, or nothing here decodes it.
        too_large (bool): Whether it was not tried.
        digest (str): Equal for equal pixels.
        plain (bool): Whether all pixels are equal.
        opaque (bool): Whether there is no alpha, or it hides nothing.
        low (float | None): Smallest value if ``bits`` exceeds 8.
        high (float | None): Largest value if ``bits`` exceeds 8.
        lossy (bool): Whether a mask was compressed with loss.
        colours (int): Different colours of a mask with several bands; 0 if
            there are more than 256. Of an image of 8 bits; 0 if there are
            more than 16.
        odd (int): Pixels of a mask that hold NaN or no whole number.
        counts (dict[int, int] | None): Id -> pixels of a mask with one band.
        identity (tuple[int, int] | None): Device and inode; not kept.
    """
    problem: str = ''
    width: int = 0
    height: int = 0
    format: str = ''
    mode: str = ''
    bands: int = 0
    bits: int = 0
    kind: str = 'uint'
    orientation: int = 1
    frames: int = 1
    decoded: bool = False
    too_large: bool = False
    digest: str = ''
    plain: bool = False
    opaque: bool = True
    low: float | None = None
    high: float | None = None
    lossy: bool = False
    colours: int = 0
    odd: int = 0
    counts: dict[int, int] | None = None
    identity: tuple[int, int] | None = None

    @property
    def pixel_format(self) -> PixelFormat:
        """PixelFormat: Bands, bits and kind."""
        return PixelFormat(self.bands, self.bits, self.kind)

    @property
    def size(self) -> tuple[int, int]:
        """tuple[int, int]: Width and height as stored."""
        return self.width, self.height


def read_facts(path: str, role: str) -> FileFacts:
    """Read a file.

    Pillow's limit of pixels must be off (:func:`mmseg_semi.data_check.scan`
    does that): sizes are judged here.

    Args:
        path (str): The file.
        role (str): ``'image'`` or ``'mask'``.
    """
    try:
        with open(path, 'rb') as file:
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                return _too_large(_header(file)[0], file)
            data = file.read()
    except OSError as error:
        return FileFacts(problem=f'cannot be read ({error.strerror or error})')
    return _content(data, role)


def _header(file: BinaryIO) -> tuple[FileFacts, Image.Image | None]:
    """Facts of the header, and the picture if Pillow opens it."""
    head = file.read(64)
    file.seek(0)
    try:
        image = Image.open(file)
        pixels = pixel_format(image, head)
    except Exception:  # each format has errors of its own
        found = tiff_header(file)
        if found is None:
            return FileFacts(problem='is no image that can be read'), None
        width, height, pixels = found
        return FileFacts('', width, height, 'TIFF', '', pixels.bands,
                         pixels.bits, pixels.kind), None
    facts = FileFacts('', *image.size, image.format, image.mode, pixels.bands,
                      pixels.bits, pixels.kind)
    if image.format == 'TIFF':  # Pillow turns a TIFF by itself
        facts.frames = _or_1(lambda: image.n_frames)
    else:
        facts.orientation = _or_1(lambda: image.getexif().get(_ORIENTATION, 1))
    return facts, image


def _or_1(read: Callable[[], int]) -> int:
    """What is read; 1 if it is damaged, as loaders do without it."""
    try:
        return int(read())
    except Exception:  # of whatever parses it
        return 1


def _content(data: bytes, role: str) -> FileFacts:
    facts, image = _header(io.BytesIO(data))
    # The other formats are decoded below, which tells as much.
    if facts.problem or facts.format in _WITHOUT_LIMIT:
        facts.problem = find_damage(data) or facts.problem
    if facts.problem:
        return facts
    if facts.width * facts.height > MAX_PIXELS:
        return _too_large(facts, io.BytesIO(data))
    look = _look_at_mask if role == MASK else _look_at_image
    try:
        facts.decoded = look(facts, image, data)
    except Exception as error:  # decoders raise their own types
        facts.problem = f'cannot be decoded ({error})'
    if not facts.decoded:
        facts.digest = _file_digest(io.BytesIO(data))
    return facts


def _too_large(facts: FileFacts, file: BinaryIO) -> FileFacts:
    """Facts without pixels."""
    facts.too_large = True
    facts.digest = _file_digest(file)
    if (facts.width * facts.height > PILLOW_LIMIT
            and facts.format not in _WITHOUT_LIMIT):
        facts.problem = (f'has {facts.width} x {facts.height} pixels, more '
                         f'than the {PILLOW_LIMIT:,} that Pillow decodes')
    return facts


def _look_at_image(facts: FileFacts, image: Image.Image | None,
                   data: bytes) -> bool:
    if image is None or facts.pixel_format.is_deep:
        array = _array(image, data)
        if array is None:
            return False
        finite = array[np.isfinite(array)]
        if finite.size:
            facts.low, facts.high = float(finite.min()), float(finite.max())
        facts.plain = facts.low == facts.high
        facts.digest = _array_digest(array)
        return True
    image.load()
    facts.colours = len(image.getcolors(_FEW_COLOURS) or ())
    if image.mode in ('1', 'P', 'CMYK'):
        image = image.convert('RGB')
    extrema = image.getextrema()
    extrema = extrema if isinstance(extrema[0], tuple) else (extrema, )
    facts.plain = all(low == high for low, high in extrema)
    facts.opaque = image.getbands()[-1] != 'A' or extrema[-1][0] == 255
    facts.digest = _image_digest(image)
    return True


def _look_at_mask(facts: FileFacts, image: Image.Image | None,
                  data: bytes) -> bool:
    facts.lossy = image is not None and _is_lossy(image, data)
    if facts.mode in ('L', 'P'):
        image.load()
        facts.counts = {i: n for i, n in enumerate(image.histogram()) if n}
        facts.digest = _image_digest(image)
    elif facts.bands > 1:
        if image is None:
            return False
        facts.colours = len(image.getcolors(_MAX_COLOURS) or ())
        facts.digest = _image_digest(image)
    else:
        array = _array(image, data)
        if array is None:
            return False
        _count_ids(facts, array)
        facts.digest = _array_digest(array)
    facts.plain = len(facts.counts or ()) == 1
    return True


def _count_ids(facts: FileFacts, array: np.ndarray) -> None:
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.dtype.kind == 'f':
        whole = np.isfinite(array) & (array == np.floor(array))
        facts.odd = int(array.size - whole.sum())
        array = array[whole]
    values, counts = np.unique(array, return_counts=True)
    facts.counts = {
        int(value): int(count)
        for value, count in zip(values[:_MAX_IDS], counts)
    }


def _array(image: Image.Image | None, data: bytes) -> np.ndarray | None:
    """Pixels in their own type; None if nothing here decodes them."""
    if image is not None and len(image.getbands()) == 1:
        return np.asarray(image)
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def _is_lossy(image: Image.Image, data: bytes) -> bool:
    if image.format == 'WEBP':
        return b'VP8L' not in data
    return image.format in ('JPEG', 'MPO') or 'jpeg' in str(
        image.info.get('compression', ''))


def _new_digest():
    return hashlib.blake2b(digest_size=16)


def _file_digest(file: BinaryIO) -> str:
    digest = _new_digest()
    file.seek(0)
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def _image_digest(image: Image.Image) -> str:
    digest = _new_digest()
    digest.update(f'{image.mode} {image.size}'.encode())
    width, height = image.size
    for top in range(0, height, 256):  # strips: no copy of a whole picture
        box = (0, top, width, min(top + 256, height))
        digest.update(image.crop(box).tobytes())
    return digest.hexdigest()


def _array_digest(array: np.ndarray) -> str:
    digest = _new_digest()
    digest.update(f'{array.dtype} {array.shape}'.encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
