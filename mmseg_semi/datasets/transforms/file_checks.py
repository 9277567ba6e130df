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
    if head.startswith((b'<!doctype', b'<html', b'<?xml', b'<head')):
        return ('it is a web page, not an image; the download probably '
                'failed')
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
    except (OSError, SyntaxError, ValueError, EOFError,
            Image.DecompressionBombError) as error:
        return f'it cannot be decoded ({error})'
    return None
