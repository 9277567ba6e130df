# Copyright (c) mmseg_semi authors.
"""The lists of an import, and a record of what decided them."""
from collections.abc import Sequence

import numpy as np

from ..datasets.paths import first_few
from .findings import Findings
from .photos import Photo
from .stratify import stratified_split

LAW = ('iterative stratification of whole groups by the classes that occur '
       'in an image, rarest first')


def split(labelled: Sequence[Photo], unlabelled: Sequence[Photo],
          presence: np.ndarray, groups: dict[Photo, str], names: Sequence[str],
          val: float, seed: int, group_by: str) -> tuple[dict, dict]:
    """Divide the photographs into training, validation and unlabelled ones.

    Unlabelled photographs of a group that has validation images are left out:
    they may be near copies of these.

    Args:
        labelled (Sequence[Photo]): With a label, N of them.
        unlabelled (Sequence[Photo]): Without.
        presence (np.ndarray): (N, C) bool, class c occurs in image n.
        groups (dict[Photo, str]): Group of every photo.
        names (Sequence[str]): The C classes.
        val (float): Share of validation images; 0 for none.
        seed (int): Of the split.
        group_by (str): What the groups are, for the record.

    Returns:
        tuple[dict, dict]: ``train``, ``val``, ``unlabelled`` -> names of
        photos; and the record.

    Raises:
        ValueError: If the images cannot be split.
    """
    in_val = np.zeros(len(labelled), bool)
    if val:
        _, numbers = np.unique([groups[p] for p in labelled],
                               return_inverse=True)
        in_val = stratified_split(presence, numbers, val, seed)
    held_back = {groups[p] for p, chosen in zip(labelled, in_val) if chosen}
    left_out = [p.name for p in unlabelled if groups[p] in held_back]
    lists = dict(
        train=[p.name for p, chosen in zip(labelled, in_val) if not chosen],
        val=[p.name for p, chosen in zip(labelled, in_val) if chosen],
        unlabelled=[p.name for p in unlabelled if groups[p] not in held_back])
    record = dict(
        seed=seed,
        val=val,
        law=LAW if val else 'no validation set',
        group_by=group_by,
        groups=len({groups[p]
                    for p in labelled}),
        images={
            name: len(entries)
            for name, entries in lists.items()
        },
        images_per_class={
            name: dict(zip(names, presence[chosen].sum(0).tolist()))
            for name, chosen in (('train', ~in_val), ('val', in_val))
        },
        left_out=left_out)
    return lists, record


def check_split(record: dict, pixels: dict[str, int],
                findings: Findings) -> None:
    """Note classes that a set lacks, and unlabelled photos left out.

    Args:
        record (dict): As :func:`split` gives it.
        pixels (dict[str, int]): Class -> pixels of all masks.
        findings (Findings): Gets warnings.
    """
    per_class = record['images_per_class']
    for name, number in pixels.items():
        if number == 0:
            findings.warn(
                'class without a pixel', name, 'is in no mask',
                'Leave it out of the classes, or label images of it.')
            continue
        for role, words in (('train', 'training'), ('val', 'validation')):
            if record['images'][role] and not per_class[role][name]:
                findings.warn(
                    f'class that no {words} image has', name,
                    f'{sum(per_class[r][name] for r in per_class)} images, '
                    'all in the other set',
                    'Label more images of it, or try another --seed or '
                    '--group-by.')
    if record['left_out']:
        findings.warn(
            'unlabelled photos left out', record['group_by'],
            f'{len(record["left_out"])} of groups with validation images: '
            f'{first_few(record["left_out"], 3)}',
            'They may be near copies of these; see split.json.')
