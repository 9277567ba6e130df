# Copyright (c) mmseg_semi authors.
"""Where on the ground an image lies, carried over to its masks."""
import os.path as osp
import warnings
from dataclasses import dataclass

from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ..datasets.band_files import optional_package
from .windows import read_tags

_SCALE, _TIE, _MATRIX, _KEYS = 33550, 33922, 34264, 34735
# Suffix of an image -> of its world file.
_WORLD = {
    '.jpg': '.jgw',
    '.jpeg': '.jgw',
    '.png': '.pgw',
    '.tif': '.tfw',
    '.tiff': '.tfw',
    '.bmp': '.bpw',
    '.webp': '.wbw'
}
LOST = ('The coordinate system of a GeoTIFF is not kept: pip install '
        '"mmseg_semi[geo]" for GeoTIFF masks. World files keep the place.')


@dataclass(frozen=True)
class Georeference:
    """Where an image lies.

    Attributes:
        profile (dict, optional): ``crs`` and ``transform``, or ``gcps``, for
            a GeoTIFF that rasterio writes.
        world (bytes, optional): Content of a world file.
        projection (bytes, optional): Content of a ``.prj`` file.
        note (str): What is lost; empty if nothing is.
    """
    profile: dict | None = None
    world: bytes | None = None
    projection: bytes | None = None
    note: str = ''


def read_georeference(path: str) -> Georeference:
    """What a file, and the world file beside it, say of its place.

    Args:
        path (str): An image.

    Returns:
        Georeference: All None for an ordinary image.
    """
    tags = _geo_tags(path)
    rasterio = optional_package('rasterio') if tags else None
    profile = _profile(rasterio, path) if rasterio else None
    if profile is not None:
        return Georeference(profile=profile)
    stem, suffix = osp.splitext(path)
    kinds = _WORLD.get(suffix.lower(), '.wld'), '.wld', f'{suffix}w'
    contents = (_content(stem + kind) for kind in kinds)
    world = next((content for content in contents if content), None)
    if world is None and tags:
        world = _world_of(tags)
    return Georeference(
        world=world,
        projection=_content(stem + '.prj') if world else None,
        note=LOST if tags and not rasterio else '')


def _geo_tags(path: str) -> ImageFileDirectory_v2 | None:
    tags = read_tags(path)
    if tags is None or not {_SCALE, _TIE, _MATRIX, _KEYS} & set(tags):
        return None
    return tags


def _profile(rasterio, path: str) -> dict | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            with rasterio.open(path) as dataset:
                points, crs = dataset.gcps
                transform, own = dataset.transform, dataset.crs
    except rasterio.errors.RasterioError:  # reading the image tells why
        return None
    if points and transform.is_identity:
        return dict(gcps=points, crs=crs)
    if own is None and transform.is_identity:
        return None
    return dict(crs=own, transform=transform)


def _world_of(tags: ImageFileDirectory_v2) -> bytes | None:
    """The world file of a GeoTIFF that lies along its axes."""
    if _SCALE not in tags or _TIE not in tags:
        return None
    width, height = tags[_SCALE][:2]
    column, row, _, x, y = tags[_TIE][:5]
    centre = x + (.5 - column) * width, y - (.5 - row) * height
    values = width, 0., 0., -height, *centre
    return ''.join(f'{value:.12g}\n' for value in values).encode()


def _content(path: str) -> bytes | None:
    for name in (path, path.upper()):
        if osp.isfile(name):
            with open(name, 'rb') as file:
                return file.read()
    return None
