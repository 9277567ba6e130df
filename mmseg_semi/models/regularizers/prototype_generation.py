# Copyright (c) mmseg_semi authors.
"""From filled banks to prototypes: K-means, CPG and APO (BRPG Eq. 10-14)."""
import logging
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.logging import print_log
from torch import Tensor

from ...dist import broadcast_from_main, rank
from ...functional import class_prototypes, most_scattered, scatter_score
from ..banks import ClassBank


def prototype_counts(bank: ClassBank, base: int,
                     apo: Optional[dict]) -> List[int]:
    """How many prototypes each class gets from one bank (Eq. 12 or 14).

    Args:
        bank (ClassBank): High- or low-confidence features.
        base (int): n_0.
        apo (dict, optional): ``extra`` prototypes for the ``ratio`` most
            scattered classes by ``score`` (``cosine``, ``l2`` or
            ``l2_norm``); None switches APO off.

    Returns:
        list[int]: One count per class.
    """
    counts = [base] * bank.num_classes
    if apo is not None:
        scores = [
            scatter_score(bank.rows(c)[0], apo['score'])
            for c in range(bank.num_classes)
        ]
        for c in most_scattered(scores, apo['ratio']):
            counts[c] += apo['extra']
    return counts


def generate_prototypes(banks: Dict[str, ClassBank],
                        base: Dict[str, int],
                        size: int,
                        *,
                        apo: Optional[dict],
                        backend: str,
                        seed: int,
                        normalize: bool = False) -> Tuple[Tensor, Tensor]:
    """Cluster every class of every bank; the main rank's result is shared.

    Classes with fewer rows than prototypes contribute what they have; a
    class without rows has no prototype and takes no part in the loss.

    Args:
        banks (dict[str, ClassBank]): By group; identical on every rank.
        base (dict[str, int]): n_0 per group.
        size (int): K, places per class.
        apo, backend, seed: See :class:`BRPG`.
        normalize (bool): See :func:`class_prototypes`.

    Returns:
        tuple: prototypes (C, K, D) float and valid (C, K) bool.
    """
    first = next(iter(banks.values()))
    prototypes = first.features.new_zeros(first.num_classes, size, first.dim)
    valid = torch.zeros(
        first.num_classes, size, dtype=torch.bool, device=prototypes.device)
    if rank() == 0:
        centers = [[] for _ in range(first.num_classes)]
        for name, bank in banks.items():
            counts = prototype_counts(bank, base[name], apo)
            for c, count in enumerate(counts):
                centers[c].append(
                    class_prototypes(
                        bank.rows(c)[0],
                        count,
                        normalize=normalize,
                        backend=backend,
                        seed=seed))
        prototypes, valid = stack_prototypes([torch.cat(c) for c in centers],
                                             size)
    return broadcast_from_main(prototypes), broadcast_from_main(valid)


def stack_prototypes(centers: Sequence[Tensor],
                     size: int) -> Tuple[Tensor, Tensor]:
    """Prototypes of classes that may have fewer than there are places.

    Args:
        centers (Sequence[Tensor]): (k_c, D) per class, 0 <= k_c <= K.
        size (int): K.

    Returns:
        tuple: prototypes (C, K, D), zero in empty places, and valid (C, K)
        bool.
    """
    first = centers[0]
    prototypes = first.new_zeros(len(centers), size, first.shape[1])
    valid = torch.zeros(
        len(centers), size, dtype=torch.bool, device=first.device)
    for c, rows in enumerate(centers):
        prototypes[c, :len(rows)] = rows
        valid[c, :len(rows)] = True
    used = valid.sum(dim=1).tolist()
    empty = [c for c, n in enumerate(used) if n == 0]
    text = f'Prototypes: {sum(used)} over {len(used)} classes'
    if empty:
        text += (f'; classes {empty} had no sample and take no part in the '
                 'prototype loss')
    if len(used) - len(empty) < 2:
        text += (', which is 0 from now on: there is nothing to tell apart. '
                 'Sample for longer (`window` of the term)')
    print_log(
        f'{text}.',
        'current',
        level=logging.WARNING if empty else logging.INFO)
    return prototypes, valid
