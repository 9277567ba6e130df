# Copyright (c) mmseg_semi authors.
"""Miniatures of VOC, Cityscapes, COCO and GTA5: the layout, not the data.

Tens of small scenes with the folders, file names, label conventions and split
lists of the real sets, so that every shipped config can be run for a few
iterations on any machine. Lists carry the published names; run those configs
with ``verify_split=False``.
"""
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple, Union

import cv2
import numpy as np
from mmseg.datasets import CityscapesDataset, PascalVOCDataset

from .gta5_labels import CLASS_IDS, convert
from .scene_drawing import (load_digit_images, load_photos, palette_bytes,
                            paste_digit, photo_background, save_image,
                            save_label)
from .splits import known_splits
from .written_trees import write_list, write_tree

MIN_LABELED = 4
"""Smallest labelled list, enough for one batch of the shipped configs."""

_FORMAT_VERSION = 2
_SEMI = 'ImageSets/Semi'
_SEGMENTATION = 'ImageSets/Segmentation'
_SKY, _BUILDING, _SIDEWALK, _ROAD = 10, 2, 1, 0
_TRAIN_CITIES = ('aachen', 'bochum', 'cologne', 'ulm')
_VAL_CITIES = ('frankfurt', 'lindau')

Scene = Tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class MiniatureRecipe:
    """Size of a miniature.

    Args:
        num_train (int): Training images.
        num_val (int): Validation images.
        scale (float): Factor on the sides, which are about a quarter of
            VOC's and COCO's and a sixteenth of Cityscapes' at scale 1.
        seed (int): Seed of the numpy Generator.
    """
    num_train: int = 24
    num_val: int = 8
    scale: float = 1.
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_train < 2 * MIN_LABELED or self.num_val < 1:
            raise ValueError(
                f'num_train={self.num_train} must be at least '
                f'{2 * MIN_LABELED} and num_val={self.num_val} at least 1')
        if self.scale <= 0.25:
            raise ValueError(f'scale={self.scale} must be above 0.25')


def class_color(index: int) -> np.ndarray:
    """A bright RGB colour per class, far from those of its neighbours."""
    hsv = np.uint8([[[round(index * 0.618 * 256) % 256, 160, 255]]])
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)[0, 0]


def _background(size: Tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    photo = load_photos()[rng.integers(2)]
    zoom = rng.uniform(0.5, 1) * min(photo.shape[0] / size[0],
                                     photo.shape[1] / size[1])
    side = (int(size[0] * zoom), int(size[1] * zoom))
    return photo_background(photo, size, side, tuple(rng.random(2)), 0.35)


def _paste_classes(image: np.ndarray, label: np.ndarray, classes: List[int],
                   rng: np.random.Generator) -> None:
    """Draw each class as its own digit shape in its own colour."""
    ink, digits = load_digit_images()
    short = min(label.shape)
    for index in classes:
        instance = rng.choice(np.flatnonzero(digits == index % 10))
        side = int(rng.integers(short // 3, int(short * 0.7)))
        top = int(rng.integers(label.shape[0] - side + 1))
        left = int(rng.integers(label.shape[1] - side + 1))
        paste_digit(image, label, ink[instance], (top, left, side),
                    class_color(index), index)


def object_scene(size: Tuple[int, int], classes: List[int], border: bool,
                 rng: np.random.Generator) -> Scene:
    """Objects over a background of class 0, as in VOC and COCO.

    Args:
        size (tuple[int, int]): Height and width.
        classes (list[int]): The objects, drawn in this order.
        border (bool): Whether a line of 255 surrounds objects, as in VOC.
        rng (np.random.Generator): Source of all draws.

    Returns:
        tuple[np.ndarray, np.ndarray]: RGB float32 (H, W, 3), uint8 (H, W).
    """
    image = _background(size, rng)
    label = np.zeros(size, np.uint8)
    _paste_classes(image, label, classes, rng)
    if border:
        edge = cv2.morphologyEx(label, cv2.MORPH_GRADIENT,
                                np.ones((3, 3), np.uint8))
        label[edge > 0] = 255
    return image, label


def street_scene(size: Tuple[int, int], classes: List[int],
                 rng: np.random.Generator) -> Scene:
    """Sky, buildings, sidewalk and road with objects, as in Cityscapes.

    Every pixel has a class but those of the bonnet (255) at the bottom.
    Arguments and results as in :func:`object_scene`.
    """
    image = _background(size, rng)
    label = np.zeros(size, np.uint8)
    cuts = (np.sort(rng.uniform(0.15, 0.8, size=3)) * size[0]).astype(int)
    bands = np.split(np.arange(size[0]), cuts)
    for rows, index in zip(bands, (_SKY, _BUILDING, _SIDEWALK, _ROAD)):
        label[rows] = index
        image[rows] += 0.4 * class_color(index).astype(np.float32)
    _paste_classes(image, label, classes, rng)
    bonnet = max(size[0] // 16, 1)
    label[-bonnet:] = 255
    image[-bonnet:] = 20
    return image, label


def _class_stream(candidates: range, rng: np.random.Generator,
                  per_image: int) -> Callable[[], List[int]]:
    """Deal classes to images so that all come up before one comes again."""
    deck: List[int] = []

    def draw() -> List[int]:
        while len(deck) < per_image:
            deck.extend(rng.permutation(candidates).tolist())
        return [deck.pop(0) for _ in range(per_image)]

    return draw


def _photo_size(recipe: MiniatureRecipe,
                rng: np.random.Generator) -> Tuple[int, int]:
    """VOC-like: long side 125 or less, landscape in three of four."""
    long = rng.integers(100, 126) * recipe.scale
    short = rng.uniform(0.6, 0.8) * long
    size = (round(short), round(long))
    return size if rng.random() < 0.75 else size[::-1]


def _semi_lists(root: Path, prefix: str, pools: Dict[str, tuple],
                seed: int) -> Dict[str, List[str]]:
    """Write a list under every published name that starts with ``prefix``.

    Args:
        root (Path): The tree.
        prefix (str): Of the names, for example 'voc12-'.
        pools (dict[str, tuple]): Start of the name -> (entries to draw from,
            number of images in the real pool).
        seed (int): Lists of one family are nested draws from its pool.
    """
    lists = {}
    for name, split in known_splits().items():
        if not name.startswith(prefix):
            continue
        start = max((p for p in pools if name.startswith(p)), key=len)
        pool, real = pools[start]
        share = min(split['count'] / real, 1)
        count = min(max(MIN_LABELED, round(share * len(pool))), len(pool))
        family = list(name.rsplit('-', 1)[0].encode())
        order = np.random.default_rng([seed, *family]).permutation(len(pool))
        lists[name] = sorted(pool[i] for i in order[:count])
        write_list(root / _SEMI / f'{name}.txt', lists[name])
    return lists


def _write_voc(root: Path, recipe: MiniatureRecipe) -> Dict[str, List[str]]:
    rng = np.random.default_rng([recipe.seed, 0])
    folders = [
        root / name
        for name in ('JPEGImages', 'SegmentationClass', 'SegmentationClassAug')
    ]
    for folder in folders:
        folder.mkdir()
    images, masks, aug_masks = folders
    ids = [
        f'{2007 + i % 5}_{37 * i + 32:06d}'
        for i in range(recipe.num_train + recipe.num_val)
    ]
    trainaug = sorted(ids[:recipe.num_train])
    val = sorted(ids[recipe.num_train:])
    # Half of trainaug has VOC's own masks, the others came with SBD.
    train = trainaug[::2]
    aug = trainaug[1::2]
    classes = _class_stream(range(1, 21), rng, 2)
    palette = palette_bytes(PascalVOCDataset.METAINFO['palette'])
    for stem in trainaug + val:
        image, label = object_scene(
            _photo_size(recipe, rng), classes(), True, rng)
        save_image(images / f'{stem}.jpg', image)
        save_label(aug_masks / f'{stem}.png', label)
        if stem not in aug:
            save_label(masks / f'{stem}.png', label, palette)
    lists = dict(
        train=train,
        val=val,
        trainval=sorted(train + val),
        aug=aug,
        trainaug=trainaug,
        train_aug=trainaug)
    for name, stems in lists.items():
        write_list(root / _SEGMENTATION / f'{name}.txt', stems)
    pools = {
        'voc12-': (trainaug, 10582),
        'voc12-classic': (train, 1464),
        'voc12-pseudoseg': (train, 1464),
        'voc12-val': (val, 1449)
    }
    return {**lists, **_semi_lists(root, 'voc12-', pools, recipe.seed)}


def _write_city(root: Path, recipe: MiniatureRecipe) -> Dict[str, List[str]]:
    rng = np.random.default_rng([recipe.seed, 1])
    size = (round(64 * recipe.scale), round(128 * recipe.scale))
    classes = _class_stream(range(19), rng, 4)
    lists = {}
    for split, cities, count in (('train', _TRAIN_CITIES, recipe.num_train),
                                 ('val', _VAL_CITIES, recipe.num_val)):
        owners = [cities[i % len(cities)] for i in range(count)]
        lists[split] = sorted(f'{city}/{city}_{i:06d}_000019'
                              for i, city in enumerate(owners))
        for entry in lists[split]:
            image_path = root / f'leftImg8bit/{split}/{entry}_leftImg8bit.png'
            mask_path = (
                root / f'gtFine/{split}/{entry}_gtFine_labelTrainIds.png')
            for path in (image_path, mask_path):
                path.parent.mkdir(parents=True, exist_ok=True)
            image, label = street_scene(size, classes(), rng)
            save_image(image_path, image)
            save_label(mask_path, label)
    pools = {'city-': (lists['train'], 2975), 'city-val': (lists['val'], 500)}
    return {**lists, **_semi_lists(root, 'city-', pools, recipe.seed)}


def _write_coco(root: Path, recipe: MiniatureRecipe) -> Dict[str, List[str]]:
    rng = np.random.default_rng([recipe.seed, 2])
    (root / 'masks').mkdir()
    per_image = max(4, -(-80 // recipe.num_train))
    classes = _class_stream(range(1, 81), rng, per_image)
    lists, first = {}, 9
    for split, count in (('train', recipe.num_train), ('val', recipe.num_val)):
        (root / f'{split}2017').mkdir()
        lists[split] = [f'{first + 16 * i:012d}' for i in range(count)]
        first += 16 * count
        for stem in lists[split]:
            image, label = object_scene(
                _photo_size(recipe, rng), classes(), False, rng)
            save_image(root / f'{split}2017/{stem}.jpg', image)
            save_label(root / f'masks/{stem}.png', label)
        write_list(root / _SEGMENTATION / f'{split}.txt', lists[split])
    pools = {'coco-': (lists['train'], 118287)}
    return {**lists, **_semi_lists(root, 'coco-', pools, recipe.seed)}


def _write_gta5(root: Path, recipe: MiniatureRecipe) -> Dict[str, List[str]]:
    rng = np.random.default_rng([recipe.seed, 3])
    size = (round(66 * recipe.scale), round(120 * recipe.scale))
    classes = _class_stream(range(19), rng, 4)
    palette = np.zeros((max(CLASS_IDS) + 1, 3), np.uint8)
    palette[list(CLASS_IDS)] = CityscapesDataset.METAINFO['palette']
    label_ids = np.zeros(256, np.uint8)
    label_ids[:len(CLASS_IDS)] = CLASS_IDS
    for folder in ('images', 'labels'):
        (root / folder).mkdir()
    stems = [f'{i:05d}' for i in range(1, recipe.num_train + 1)]
    for stem in stems:
        image, label = street_scene(size, classes(), rng)
        image_path, label_path = (
            root / f'{folder}/{stem}.png' for folder in ('images', 'labels'))
        save_image(image_path, image)
        save_label(label_path, label_ids[label],
                   palette_bytes(palette.tolist()))
        convert(label_path, image_path)
    write_list(root / _SEGMENTATION / 'train.txt', stems)
    return dict(train=stems)


_WRITERS = dict(
    voc=_write_voc, city=_write_city, coco=_write_coco, gta5=_write_gta5)

FOLDERS = dict(
    voc='VOCdevkit/VOC2012', city='cityscapes', coco='coco', gta5='GTA5')
"""Folder of each kind below the common output folder."""


def write_miniature(kind: str,
                    root: Union[str, Path],
                    recipe: Optional[MiniatureRecipe] = None) -> dict:
    """Write one miniature, or verify an existing copy.

    - ``voc``: 21 classes, borders of 255; JPEGImages, SegmentationClass
      (palette PNG; VOC's own images only), SegmentationClassAug (ids, all),
      ImageSets/Segmentation/{train,val,trainval,aug,trainaug,train_aug}.txt
    - ``city``: 19 classes; leftImg8bit and gtFine with
      ``*_labelTrainIds.png``; list entries are ``city/stem``
    - ``coco``: 81 classes, 0 = background and no 255; train2017, val2017,
      masks, ImageSets/Segmentation/{train,val}.txt
    - ``gta5``: 19 classes; images, labels (palette PNG of Cityscapes' label
      ids) with ``*_labelTrainIds.png``, ImageSets/Segmentation/train.txt

    The others have a list ImageSets/Semi/<name>.txt for every published name.

    Args:
        kind (str): 'voc', 'city', 'coco' or 'gta5'.
        root (str | Path): The dataset folder itself.
        recipe (MiniatureRecipe, optional): Sizes.

    Returns:
        dict: The manifest, see :func:`written_trees.write_tree`.

    Raises:
        ForeignTreeError: If ``root`` exists with other content, for example
            the real dataset; it is left untouched.
    """
    if kind not in _WRITERS:
        raise ValueError(f'kind must be one of {list(_WRITERS)}, got {kind!r}')
    recipe = recipe or MiniatureRecipe()
    description = dict(
        name=f'miniature-{kind}', version=_FORMAT_VERSION, **asdict(recipe))
    return write_tree(root, description, lambda part: _WRITERS[kind]
                      (part, recipe))
