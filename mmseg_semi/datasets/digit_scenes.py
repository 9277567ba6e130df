# Copyright (c) mmseg_semi authors.
"""DigitScenes: a real, deterministic dataset that needs no download.

scikit-learn's handwritten digits over crops of its two photographs, 11
classes (background and the digits 0..9), written in the layout of PASCAL VOC
so that the code which reads VOC is the code that runs. No digit image is
shared between train and val.
"""
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple, Union

import numpy as np

from .scene_drawing import (load_digit_images, load_photos, palette_bytes,
                            paste_digit, photo_background, save_image,
                            save_label, split_instances)
from .written_trees import write_list, write_tree

CLASSES = ('background', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
PALETTE = [[0, 0, 0], [230, 25, 75], [60, 180, 75], [255, 225, 25],
           [0, 130, 200], [245, 130, 48], [145, 30, 180], [70, 240, 240],
           [240, 50, 230], [210, 245, 60], [250, 190, 190]]

MIN_IMAGES_PER_CLASS = 4
"""Images of the smallest labelled list in which every digit must be seen."""

_FORMAT_VERSION = 1


@dataclass(frozen=True)
class DigitScenesRecipe:
    """Everything that decides the content of the dataset.

    Args:
        num_train (int): Training scenes.
        num_val (int): Validation scenes; with fewer than 1,000 the mIoU of
            one model scatters by points between draws of the set.
        seed (int): Seed of the numpy Generators.
        labeled (tuple[int, ...]): Sizes of the nested labelled lists,
            ascending; list ``digits-50`` is a subset of ``digits-100``.
        size (int): Side of a scene in pixels.
        digit_side (tuple[int, int]): Smallest and largest digit, inclusive.
        min_crop (int): Smallest side of a photo crop.
        brightness (float): Factor on the photographs.
        train_share (float): Share of the 1,797 digits reserved for train.
    """
    num_train: int = 1600
    num_val: int = 1000
    seed: int = 0
    labeled: Tuple[int, ...] = (50, 100, 200, 400, 800)
    size: int = 64
    digit_side: Tuple[int, int] = (34, 57)
    min_crop: int = 128
    brightness: float = 0.35
    train_share: float = 2 / 3

    def __post_init__(self) -> None:
        if sorted(self.labeled) != list(self.labeled) or any(
                not 0 < n <= self.num_train for n in self.labeled):
            raise ValueError(
                f'labeled={self.labeled} must ascend and lie within 1 and '
                f'num_train={self.num_train}; () writes no labelled list')
        if not 8 <= self.digit_side[0] <= self.digit_side[1] <= self.size:
            raise ValueError(
                f'digit_side={self.digit_side} must ascend and lie within 8 '
                f'and size={self.size}')


class PlacedDigit(NamedTuple):
    """One digit of a scene: instance index, digit, box and RGB colour."""
    instance: int
    digit: int
    box: Tuple[int, int, int]
    color: np.ndarray


class ScenePlan(NamedTuple):
    """All random draws of one scene; drawing it is then deterministic."""
    photo: int
    side: int
    corner: Tuple[float, float]
    digits: Tuple[PlacedDigit, ...]

    def visible(self) -> set:
        """Digits of which at least half of the box stays uncovered."""
        seen = set()
        for i, one in enumerate(self.digits):
            top, left, side = one.box
            free = np.ones((side, side), bool)
            for later in self.digits[i + 1:]:
                y, x, s = later.box
                free[max(y - top, 0):max(y - top + s, 0),
                     max(x - left, 0):max(x - left + s, 0)] = False
            if 2 * free.sum() >= free.size:
                seen.add(one.digit)
        return seen


def plan_scene(instances: List[np.ndarray], recipe: DigitScenesRecipe,
               rng: np.random.Generator) -> ScenePlan:
    """Draw a scene: a photo crop and one or two digits.

    Args:
        instances (list[np.ndarray]): Allowed digit images of each class.
        recipe (DigitScenesRecipe): Sizes.
        rng (np.random.Generator): Source of all draws.

    Returns:
        ScenePlan: The draws.
    """
    photo = int(rng.integers(2))
    limit = min(load_photos()[photo].shape[:2])
    side = int(rng.integers(min(recipe.min_crop, limit), limit + 1))
    corner = tuple(rng.random(2).tolist())
    placed = []
    for _ in range(int(rng.integers(1, 3))):
        digit = int(rng.integers(10))
        instance = int(rng.choice(instances[digit]))
        length = int(
            rng.integers(recipe.digit_side[0], recipe.digit_side[1] + 1))
        top, left = rng.integers(recipe.size - length + 1, size=2).tolist()
        color = rng.uniform(150, 255, size=3)
        placed.append(PlacedDigit(instance, digit, (top, left, length), color))
    return ScenePlan(photo, side, corner, tuple(placed))


def draw_scene(plan: ScenePlan,
               recipe: DigitScenesRecipe) -> Tuple[np.ndarray, np.ndarray]:
    """Render a plan.

    Args:
        plan (ScenePlan): The draws.
        recipe (DigitScenesRecipe): Sizes and brightness.

    Returns:
        tuple[np.ndarray, np.ndarray]: RGB float32 (size, size, 3) in
        [0, 255], and uint8 labels (size, size): 0 background, 1 + digit.
    """
    image = photo_background(load_photos()[plan.photo],
                             (recipe.size, recipe.size),
                             (plan.side, plan.side), plan.corner,
                             recipe.brightness)
    label = np.zeros((recipe.size, recipe.size), np.uint8)
    ink = load_digit_images()[0]
    for one in plan.digits:
        paste_digit(image, label, ink[one.instance], one.box, one.color,
                    1 + one.digit)
    return image, label


def plan_scenes(
        recipe: DigitScenesRecipe) -> Tuple[List[ScenePlan], List[ScenePlan]]:
    """Draw all scenes of train and val.

    The three streams are independent: more validation scenes leave the
    training scenes as they are.
    """
    split_rng, train_rng, val_rng = (
        np.random.default_rng([recipe.seed, i]) for i in range(3))
    train, val = split_instances(load_digit_images()[1], recipe.train_share,
                                 split_rng)
    return ([
        plan_scene(train, recipe, train_rng) for _ in range(recipe.num_train)
    ], [plan_scene(val, recipe, val_rng) for _ in range(recipe.num_val)])


def labeled_lists(plans: List[ScenePlan],
                  recipe: DigitScenesRecipe) -> Dict[str, List[int]]:
    """Nested random labelled lists in which no class is missing.

    Orders are drawn until, in the smallest list, every digit is seen in at
    least four scenes; larger lists continue the same order. A list without a
    class would pin its IoU to 0 for every method.

    Args:
        plans (list[ScenePlan]): The training scenes.
        recipe (DigitScenesRecipe): Sizes of the lists, and the seed.

    Returns:
        dict[str, list[int]]: ``digits-<n>``, or ``digits-seed<s>-<n>`` for a
        seed other than 0, -> sorted indices into plans.

    Raises:
        ValueError: If 10,000 draws found no such order.
    """
    if not recipe.labeled:
        return {}
    rng = np.random.default_rng([recipe.seed, 3])
    seen = np.zeros((len(plans), 10), np.int64)
    for i, plan in enumerate(plans):
        seen[i, list(plan.visible())] = 1
    smallest = recipe.labeled[0]
    # digits-50 is a published name: only the published lists may carry it.
    prefix = f'digits-seed{recipe.seed}' if recipe.seed else 'digits'
    for _ in range(10_000):
        order = rng.permutation(len(plans))
        if seen[order[:smallest]].sum(0).min() >= MIN_IMAGES_PER_CLASS:
            return {
                f'{prefix}-{n}': sorted(order[:n].tolist())
                for n in recipe.labeled
            }
    raise ValueError(
        f'No list of {smallest} scenes shows every digit in at least '
        f'{MIN_IMAGES_PER_CLASS} of them; make the smallest list larger.')


def _write(root: Path, recipe: DigitScenesRecipe) -> Dict[str, List[str]]:
    images, masks = root / 'JPEGImages', root / 'SegmentationClass'
    images.mkdir()
    masks.mkdir()
    palette = palette_bytes(PALETTE)
    train, val = plan_scenes(recipe)
    stems = {}
    for split, plans in (('train', train), ('val', val)):
        stems[split] = [f'{split}_{i:05d}' for i in range(len(plans))]
        for stem, plan in zip(stems[split], plans):
            image, label = draw_scene(plan, recipe)
            save_image(images / f'{stem}.jpg', image)
            save_label(masks / f'{stem}.png', label, palette)
        write_list(root / f'ImageSets/Segmentation/{split}.txt', stems[split])
    for name, indices in labeled_lists(train, recipe).items():
        stems[name] = [stems['train'][i] for i in indices]
        write_list(root / f'ImageSets/Semi/{name}.txt', stems[name])
    return stems


def write_digit_scenes(
    root: Union[str, Path], recipe: DigitScenesRecipe = DigitScenesRecipe()
) -> dict:
    """Write DigitScenes in PASCAL VOC layout, or verify an existing copy.

    Layout: ``JPEGImages/*.jpg``, ``SegmentationClass/*.png`` (palette PNG),
    ``ImageSets/Segmentation/{train,val}.txt``, ``ImageSets/Semi/digits-*``.

    Lists depend on the recipe only. Pixels are the same for the same library
    versions; OpenCV 4.10 and 5.0 differ by rounding in three of 5,200 files.

    Args:
        root (str | Path): The dataset folder.
        recipe (DigitScenesRecipe): What to write.

    Returns:
        dict: The manifest, see :func:`written_trees.write_tree`.

    Raises:
        ForeignTreeError: If ``root`` exists with other content.
    """
    description = dict(
        name='DigitScenes', version=_FORMAT_VERSION, **asdict(recipe))
    return write_tree(root, description, lambda part: _write(part, recipe))
