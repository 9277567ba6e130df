# Copyright (c) mmseg_semi authors.
"""The sets that are checked."""
import functools
import os.path as osp
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mmseg_semi.datasets.folders import Listing, walk_folder
from mmseg_semi.datasets.paths import require
from mmseg_semi.datasets.splits import IMAGE_SUFFIXES
from .facts import IMAGE, MASK

# Not an option of mmcv: images are loaded by LoadBands.
BANDS = 'bands'
LABELLED, UNLABELLED = 'labelled', 'unlabelled'
VALIDATION, TEST, SOURCE = 'validation', 'test', 'source'


@dataclass
class ImageSet:
    """Images that are used in one way, with or without masks.

    Attributes:
        name (str): ``'labelled'``, ``'unlabelled'``, ``'validation'``,
            ``'test'`` or ``'source'`` (labelled images of another domain).
            Several sets may share a name: they count as one.
        images (list[str]): Image files, existing or not.
        masks (list[str] | None): Mask files in the order of ``images``; None
            if the set has none.
        classes (tuple[str] | None): Names; None if nobody has said them.
        reduce_zero_label (bool): Whether id 0 is ignored and the others
            become one less.
        label_map (dict[int, int] | None): Further change of ids.
        ignore_index (int): Id of pixels without a label.
        folders (tuple[str]): Folders of the images.
        suffixes (tuple[str]): Ends of names that were looked for.
        any_case (bool): Whether ``.JPG`` counts as ``.jpg``.
        searched (bool): Whether the folders were searched; otherwise a list
            named the images.
        color_type (str | None): How the pipeline loads them, as in mmcv:
            ``'color'``, ``'grayscale'``, ``'unchanged'``, ...; ``BANDS`` for
            LoadBands, which takes all formats; None for a loader of another
            kind, whose formats are not judged.
        tolerated (int): Unreadable images that training skips.
        where (str): The setting or folder that the set came from.
    """
    name: str
    images: list[str]
    masks: list[str] | None = None
    classes: tuple[str, ...] | None = None
    reduce_zero_label: bool = False
    label_map: dict[int, int] | None = None
    ignore_index: int = 255
    folders: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = IMAGE_SUFFIXES
    any_case: bool = True
    searched: bool = False
    color_type: str | None = 'color'
    tolerated: int = 0
    where: str = ''

    def files(self) -> Iterator[tuple[str, str]]:
        """Path and role of every file."""
        for path in self.images:
            yield path, IMAGE
        for path in self.masks or ():
            yield path, MASK

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Image and mask; none if the set has no masks."""
        return zip(self.images, self.masks or ())

    @property
    def turns(self) -> bool:
        """bool: Whether its loader applies the EXIF rotation."""
        return self.color_type in ('color', 'grayscale', BANDS)

    def takes(self, name: str) -> bool:
        """Whether the end of a name is among the suffixes."""
        name = name.lower() if self.any_case else name
        return name.endswith(self.suffixes)

    @functools.cached_property
    def listings(self) -> dict[str, Listing]:
        """dict[str, Listing]: What the folders hold; walked once."""
        return {folder: walk_folder(folder) for folder in self.folders}


def folder_set(name: str,
               images: str,
               masks: str | None = None,
               classes: Sequence[str] | None = None,
               **kwargs) -> ImageSet:
    """A set of folders, without a config.

    Hidden files are left out. A mask has the path of its image below the
    folder, with any suffix of an image; an image without one is reported by
    the check as a missing mask.

    Args:
        name (str): Of the set.
        images (str): Folder of images, searched recursively.
        masks (str, optional): Folder of masks. Defaults to None.
        classes (Sequence[str], optional): Names. Defaults to None: ids are
            not compared with them.
        **kwargs: Other attributes of :class:`ImageSet`.

    Raises:
        FileNotFoundError: If a folder is missing.
    """
    require(images, f'{name} images', True)
    listing = walk_folder(images)
    names = [n for n in listing.files if n.lower().endswith(IMAGE_SUFFIXES)]
    if masks is not None:
        require(masks, f'{name} masks', True)
        known = {
            osp.splitext(n)[0]: n
            for n in walk_folder(masks).files
            if n.lower().endswith(IMAGE_SUFFIXES)
        }
        stems = [osp.splitext(n)[0] for n in names]
        masks = [osp.join(masks, known.get(s, f'{s}.png')) for s in stems]
    return ImageSet(
        name, [osp.join(images, n) for n in names],
        masks,
        None if classes is None else tuple(classes),
        folders=(images, ),
        searched=True,
        where=images,
        **kwargs)
