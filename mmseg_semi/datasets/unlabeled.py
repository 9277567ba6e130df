# Copyright (c) mmseg_semi authors.
"""A data set of images that have no masks."""
import os.path as osp
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from .bad_images import BadImageLog
from .errors import UnreadableImageError
from .folders import walk_folder
from .paths import first_few, join, require
from .splits import IMAGE_SUFFIXES, image_id, read_list


@DATASETS.register_module()
class UnlabeledSegDataset(BaseSegDataset):
    """Images without masks: a folder is enough.

    It knows no mask folder and so cannot open a mask. Samples carry what
    stock transforms read (``img_path``, ``seg_fields=[]``, ``label_map=None``,
    ``reduce_zero_label=False``).

    Files are local. An image that the pipeline reports with
    :class:`UnreadableImageError` is recorded in
    ``<work_dir>/bad_images.txt`` and replaced by another one, drawn from
    numpy's global generator; :class:`SemiSegDataset` seeds that per position,
    so the replacement is reproducible.

    Args:
        data_root (str, optional): Root of the relative paths below.
        data_prefix (dict): ``img_path``, a folder or a list of folders,
            searched recursively without hidden folders. Defaults to
            ``dict(img_path='')``.
        ann_file (str | Sequence[str]): List file(s) of images to take, paths
            below the folders with or without suffix. Defaults to '': all.
        exclude (str | Sequence[str]): List file(s) of images to leave out,
            the validation list above all. An entry means every image whose
            path ends with it. Defaults to none.
        img_suffix (str | Sequence[str]): Suffix(es) of images, any case.
        max_bad_images (int | float): Unreadable images tolerated before
            training stops, a number or (float) a fraction of the set.
            Defaults to 100.
        **kwargs: ``metainfo``, ``pipeline``, ``indices``, ``serialize_data``,
            ``lazy_init``, ... of :class:`mmseg.datasets.BaseSegDataset`.

    Raises:
        FileNotFoundError: If a folder, a list or listed images are missing.
        ValueError: If a list is malformed, no image is found or left, or two
            files differ in their suffix only.
    """

    def __init__(self,
                 data_root: str | None = None,
                 data_prefix: dict = dict(img_path=''),
                 ann_file: str | Sequence[str] = '',
                 exclude: str | Sequence[str] = (),
                 img_suffix: str | Sequence[str] = IMAGE_SUFFIXES,
                 max_bad_images: int | float = 100,
                 **kwargs) -> None:
        if set(data_prefix) != {'img_path'}:
            raise ValueError(
                'UnlabeledSegDataset takes data_prefix=dict(img_path=...) and '
                f'no masks, but got the keys {sorted(data_prefix)}.')
        if max_bad_images < 0 or (isinstance(max_bad_images, float)
                                  and max_bad_images > 1):
            raise ValueError(
                'max_bad_images must be a number of images (int) or a '
                f'fraction of the set (float), but is {max_bad_images}.')
        self.exclude = tuple(join(data_root, path) for path in _many(exclude))
        self.max_bad_images = max_bad_images
        self.dropped = dict(labeled=0, excluded=0)
        self.namesakes = 0
        self._labeled = self._masks = frozenset()
        folders = _many(data_prefix['img_path']) or ['']
        super().__init__(
            data_root=data_root,
            data_prefix=dict(img_path=[join(data_root, f) for f in folders]),
            ann_file=[join(data_root, path) for path in _many(ann_file)],
            img_suffix=tuple(s.lower() for s in _many(img_suffix)),
            **kwargs)

    def full_init(self) -> None:
        """Find the images; called once, by the constructor or later."""
        if self._fully_initialized:
            return
        super().full_init()
        limit = self.max_bad_images
        if isinstance(limit, float):
            limit = int(limit * len(self))
        self.bad_images = BadImageLog(limit)

    def set_work_dir(self, work_dir: str) -> None:
        """Say where ``bad_images.txt`` goes, before workers start."""
        self.full_init()
        self.bad_images.open(work_dir)

    def drop_labeled(self, images: Iterable[str],
                     masks: Iterable[str] = ()) -> None:
        """Leave out the files of the labelled set.

        Args:
            images (Iterable[str]): Image files. Compared as files, not by
                name: equal names in other folders are other images.
            masks (Iterable[str]): Mask files; finding one of them among the
                images is an error.
        """
        if self._fully_initialized:
            raise RuntimeError('drop_labeled must come before full_init; '
                               'build the set with lazy_init=True.')
        self._labeled = frozenset(file_keys(images))
        self._masks = frozenset(file_keys(masks))

    def load_data_list(self) -> list[dict]:
        """Find the images in the folders or through the lists."""
        folders = self.data_prefix['img_path']
        for folder in folders:
            require(folder, 'unlabelled image folder (data_prefix.img_path)',
                    True)
        if self.ann_file:
            images = self._listed(folders)
        else:
            images = self._found(folders)
        return [
            dict(
                img_path=osp.join(folder, name),
                image_id=self._image_id(name),
                label_map=None,
                reduce_zero_label=self.reduce_zero_label,
                seg_fields=[]) for folder, name in images
        ]

    def filter_data(self) -> list[dict]:
        """Leave out labelled and excluded images."""
        excluded = {
            image_id(entry)
            for path in self.exclude
            for entry in _checked_list(path)
        }
        keys = file_keys(info['img_path'] for info in self.data_list)
        labeled_names = {name for _, name in self._labeled}
        kept, taken = [], set()
        for info, key in zip(self.data_list, keys):
            parts = info.pop('image_id').split('/')
            if key in self._masks:
                raise ValueError(
                    f'{info["img_path"]} is a mask of the labelled set, but '
                    'the unlabelled set would take it for an image. Set its '
                    'data_prefix.img_path or img_suffix to the images only.')
            if key in self._labeled:
                self.dropped['labeled'] += 1
            elif any('/'.join(parts[i:]) in excluded
                     for i in range(len(parts))):
                self.dropped['excluded'] += 1
            elif key not in taken:  # folders may overlap
                taken.add(key)
                kept.append(info)
                self.namesakes += key[1] in labeled_names
        if not kept:
            raise ValueError(
                f'No unlabelled image is left: {len(self.data_list)} found in '
                f'{first_few(self.data_prefix["img_path"])}, '
                f'{self.dropped["labeled"]} of them labelled, '
                f'{self.dropped["excluded"]} excluded. Point the unlabelled '
                'set at more images, or set unlabeled=None to train on '
                'labelled images only.')
        # Not needed any more, and every worker would get a copy.
        self._labeled = self._masks = frozenset()
        return kept

    def __getitem__(self, idx: int) -> dict:
        """Load a sample; unreadable images are recorded and replaced."""
        self.full_init()
        for _ in range(self.max_refetch + 1):
            try:
                sample = self.prepare_data(idx)
            except UnreadableImageError as err:
                path = self.get_data_info(idx)['img_path']
                self.bad_images.add(path, str(err))
                if len(self.bad_images.seen) >= len(self):
                    raise RuntimeError(
                        f'None of the {len(self)} unlabelled images can be '
                        f'read. The last one: {err}') from err
            else:
                if sample is not None:
                    return sample
            idx = np.random.randint(len(self))
        raise RuntimeError(
            f'No usable unlabelled image in {self.max_refetch + 1} draws; the '
            f'last one was {self.get_data_info(idx)["img_path"]}. Check the '
            'images and the pipeline of the unlabelled set.')

    def _join_prefix(self) -> None:
        """Nothing: the constructor has joined the paths, lists too."""

    def _image_id(self, name: str) -> str:
        for suffix in self.img_suffix:
            if name.lower().endswith(suffix):
                return image_id(name[:-len(suffix)])
        return image_id(name)

    def _found(self, folders: list[str]) -> list[tuple[str, str]]:
        images = []
        for folder in folders:
            listing = walk_folder(folder)
            names = listing.files
            chosen = [n for n in names if n.lower().endswith(self.img_suffix)]
            if not chosen:
                there = Counter(osp.splitext(n)[1] or n for n in names)
                hidden = listing.hidden and (
                    f' (and {len(listing.hidden)} hidden ones, such as '
                    f'{listing.hidden[0]}, which do not count)')
                raise ValueError(
                    f'{folder} holds no file that ends with '
                    f'{", ".join(self.img_suffix)}; its {len(names)} files '
                    f'end with {first_few(there) or "nothing"}{hidden or ""}. '
                    'Check data_prefix.img_path and img_suffix.')
            self._check_twins(folder, chosen)
            images += [(folder, name) for name in chosen]
        return images

    def _check_twins(self, folder: str, names: list[str]) -> None:
        """Refuse ``x.jpg`` beside ``x.png``: one of them is the mask."""
        first = {}
        for name in names:
            other = first.setdefault(self._image_id(name), name)
            if other != name:
                raise ValueError(
                    f'{folder} holds both {other} and {name}. If one of them '
                    'is a mask, set img_suffix to the suffix of the images.')

    def _listed(self, folders: list[str]) -> list[tuple[str, str]]:
        images, missing = {}, []
        for path in self.ann_file:
            for entry in _checked_list(path):
                image = self._resolve(entry, folders)
                if image is None:
                    missing.append(entry)
                else:
                    images[image] = None
        if missing:
            raise FileNotFoundError(
                f'{first_few(self.ann_file)} name(s) images that are not in '
                f'{first_few(folders)} with a suffix among '
                f'{", ".join(self.img_suffix)}: {first_few(missing)}. Check '
                'data_prefix.img_path and img_suffix.')
        return sorted(images)

    def _resolve(self, entry: str, folders) -> tuple[str, str] | None:
        for folder in folders:
            if entry.lower().endswith(self.img_suffix) and osp.isfile(
                    osp.join(folder, entry)):
                return folder, entry
            for suffix in self.img_suffix:
                for name in (entry + suffix, entry + suffix.upper()):
                    if osp.isfile(osp.join(folder, name)):
                        return folder, name
        return None


def file_keys(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Comparable identities of files: (real folder, file name)."""
    folders = {}
    keys = []
    for path in paths:
        folder, name = osp.split(path)
        if folder not in folders:
            folders[folder] = osp.realpath(folder)
        keys.append((folders[folder], name))
    return keys


def _many(value: str | Sequence[str] | None) -> list[str]:
    if isinstance(value, str):
        return [value] if value else []
    return list(value or ())


def _checked_list(path: str) -> list[str]:
    require(path, 'list of images', False)
    return read_list(path)
