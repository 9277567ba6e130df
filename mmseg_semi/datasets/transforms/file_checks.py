# Copyright (c) mmseg_semi authors.
"""Telling a broken image file from a whole one by its bytes.

OpenCV 4 returns the readable part of a truncated JPEG, filled up with grey,
without an error; OpenCV 5 returns None without a reason. Checking the
structure of the file costs far less than a second decoder.
"""
import io
import struct
import zlib
from typing import Optional

from PIL import Image

_PNG = b'\x89PNG\r\n\x1a\n'
_STANDALONE = {0x01, *range(0xD0, 0xD9)}
# How files of another kind begin (in lower case), and what they are.
_OTHER_KINDS = (
    ((b'<!doctype html', b'<html', b'<head'),
     'a web page, not an image; the download probably failed'),
    ((b'version https://git-lfs', ),
     'a pointer of Git LFS, not the image; `git lfs pull` fetches that'),
    ((b'<svg', b'<?xml'), 'a text in XML, not an image of pixels'),
    ((b'%pdf', ), 'a PDF, not an image'),
    ((b'pk\x03\x04', b'\x1f\x8b', b'rar!'), 'an archive, not an image'),
    ((b'\x93numpy', ), 'an array of NumPy, not an image; save it as TIFF'),
)
# Brands of ISO media files whose pictures neither Pillow nor OpenCV decodes.
_HEIC = (b'heic', b'heix', b'hevc', b'heim')


def find_damage(data: bytes) -> Optional[str]:
    """Say what is wrong with an encoded image.

    Args:
        data (bytes): Content of the file.

    Returns:
        str | None: The damage in words, None if the file looks whole.
    """
    if not data:
        return 'the file is empty'
    if data.startswith(b'\xff\xd8'):
        return _jpeg_damage(data)
    if data.startswith(_PNG):
        return _png_damage(data)
    head = data[:512].lstrip().lower()
    for beginnings, kind in _OTHER_KINDS:
        if head.startswith(beginnings):
            return f'it is {kind}'
    if data[4:8] == b'ftyp' and any(name in data[8:64] for name in _HEIC):
        return 'it is a HEIC photo; convert it to JPEG or PNG'
    return _other_damage(data)


def _jpeg_damage(data: bytes) -> Optional[str]:
    """Walk the segments to the first scan, then look for the end marker.

    Skipping the segments by their length skips the end marker of a thumbnail
    inside the EXIF block. Inside a scan a 0xFF byte is always stuffed, so an
    end marker there is a real one.
    """
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return f'the JPEG has no marker at byte {position}'
        marker = data[position + 1]
        if marker == 0xFF:
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif marker == 0xDA:
            if data.rfind(b'\xff\xd9', position) < 0:
                return 'the JPEG is truncated (no end marker)'
            return None
        elif marker == 0xD9:
            return 'the JPEG ends before its image data'
        else:
            length = struct.unpack_from('>H', data, position + 2)[0]
            position += 2 + length
    return 'the JPEG is truncated (it ends inside its header)'


def _png_damage(data: bytes) -> Optional[str]:
    position = len(_PNG)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from('>I4s', data, position)
        end = position + 12 + length
        if end > len(data):
            break
        body = memoryview(data)[position + 4:end - 4]
        if zlib.crc32(body) != struct.unpack_from('>I', data, end - 4)[0]:
            return f'the PNG is corrupt (checksum of chunk {kind!r})'
        if kind == b'IEND':
            return None
        position = end
    return 'the PNG is truncated (no end chunk)'


def _other_damage(data: bytes) -> Optional[str]:
    """Decode rarer formats with PIL, which does complain about a cut file."""
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except Image.UnidentifiedImageError:
        # PIL does not know it; whether OpenCV does is seen when decoding.
        return None
    except Image.DecompressionBombError:
        return (f'it has more than the {2 * Image.MAX_IMAGE_PIXELS:,} pixels '
                'that Pillow decodes; cut it into tiles')
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        return f'it cannot be decoded ({error})'
    return None
