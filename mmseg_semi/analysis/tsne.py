# Copyright (c) mmseg_semi authors.
"""Pixels and prototypes in the plane (PPS Fig. 7, PCR Fig. 2, BRPG Fig. 9).
"""
from typing import Iterable, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..functional.prototypes import prototype_similarity
from ..models.prototype_extraction import sample_pixels
from .prototypes import FeatureSpace

METRICS = ('cosine', 'euclidean')
PIXEL = -1  # instead of the index of a prototype
UNKNOWN = 255  # instead of a class


class Points(NamedTuple):
    """N pixels, then P prototypes, in one space.

    Args:
        vectors (Tensor): (N + P, D) fp32.
        classes (Tensor): (N + P,) long.
        index (Tensor): (N + P,) long, of the prototype; ``PIXEL`` for a
            pixel.
    """
    vectors: Tensor
    classes: Tensor
    index: Tensor

    @property
    def is_prototype(self) -> Tensor:
        """(N + P,) bool."""
        return self.index != PIXEL


def sample_points(space: FeatureSpace, batches: Iterable[Tuple[Tensor,
                                                               Tensor]],
                  classes: Sequence[int], pixels: int, seed: int) -> Points:
    """The same number of pixels of every class, and its prototypes.

    Args:
        space (FeatureSpace): Which features.
        batches (Iterable): Of :func:`~.images.labelled_batches`.
        classes (Sequence[int]): Those wanted.
        pixels (int): Per class; a class with fewer has all of its.
        seed (int): Of the choice.

    Returns:
        Points: On the CPU, by class. A class may have no pixels.

    Raises:
        ValueError: No class has pixels, or features are not finite.
    """
    classes = sorted(classes)
    wanted = torch.tensor(classes)
    images = ((image[None], _only(labels, wanted)) for batch in batches
              for image, labels in zip(*batch))
    sample = sample_pixels(space.features, images,
                           max(classes) + 1, pixels, seed,
                           space.reader.align_corners)
    rows = [sample.features[c] for c in classes]
    if not any(sample.seen):
        raise ValueError(f'No image has a pixel of the classes {classes}: '
                         'choose others, or more images.')
    labels = wanted.repeat_interleave(torch.tensor([len(r) for r in rows]))
    vectors = space.comparable(torch.cat(rows).float())
    found = space.prototypes()
    mine = torch.isin(found.classes, wanted)
    if len(found.vectors):
        vectors = torch.cat([vectors, found.vectors[mine]])
    if not bool(vectors.isfinite().all()):
        raise ValueError(f'The features {space.feature!r} hold NaN or inf: '
                         'the training of this checkpoint diverged.')
    return Points(
        vectors, torch.cat([labels, found.classes[mine]]),
        torch.cat([labels.new_full(labels.shape, PIXEL), found.index[mine]]))


def _only(labels: Tensor, wanted: Tensor) -> Tensor:
    """Labels (H, W) of the other classes become unknown."""
    known = torch.isin(labels, wanted.to(labels.device))
    return labels.masked_fill(~known, UNKNOWN)


def nearest_prototypes(points: Points) -> Tuple[Tensor, Tensor]:
    """The most similar prototype of every point, in the space itself.

    Args:
        points (Points): A prototype finds itself.

    Returns:
        tuple[Tensor, Tensor]: Its place (N + P,) long among the points, -1
        if there are no prototypes, and the cosine (N + P,) fp32, NaN then.
    """
    places = points.is_prototype.nonzero().squeeze(1)
    total = len(points.vectors)
    if not len(places):
        return torch.full((total, ), -1), torch.full((total, ), torch.nan)
    every = torch.ones(1, len(places), dtype=torch.bool)
    cosine = prototype_similarity(points.vectors, points.vectors[places][None],
                                  every)[:, 0]
    best, nearest = cosine.max(dim=1)
    return places[nearest], best


def agreement(points: Points, nearest: Tensor,
              classes: Sequence[int]) -> List[dict]:
    """How many pixels of each class are nearest to one of its prototypes.

    Args:
        points (Points): N pixels and P prototypes.
        nearest (Tensor): (N + P,), see :func:`nearest_prototypes`.
        classes (Sequence[int]): Those to count.

    Returns:
        list[dict]: Per class its ``id``, numbers of ``pixels`` and
        ``prototypes``, and ``agree`` in [0, 1], None without pixels or
        without any prototypes.
    """
    rows = []
    for c in classes:
        mine = points.classes == c
        pixels = mine & ~points.is_prototype
        known = pixels & (nearest >= 0)
        right = points.classes[nearest[known]] == c
        rows.append(
            dict(
                id=c,
                pixels=int(pixels.sum()),
                prototypes=int((mine & points.is_prototype).sum()),
                agree=float(right.double().mean()) if len(right) else None))
    return rows


def embed(vectors: Tensor,
          *,
          seed: int,
          metric: str = 'cosine',
          perplexity: float = 30.) -> np.ndarray:
    """t-SNE of rows, from the start that a PCA gives.

    Deterministic for a seed, on one machine.

    Args:
        vectors (Tensor): (N, D), finite.
        seed (int): Of scikit-learn's TSNE.
        metric (str): ``cosine``: of the rows as unit vectors, as prototypes
            compare with pixels. ``euclidean``: of the rows as they are.
        perplexity (float): Roughly the number of neighbours, less than N.

    Returns:
        np.ndarray: (N, 2) fp32.

    Raises:
        ImportError: scikit-learn is missing.
        ValueError: Unknown metric, or too few rows for the perplexity.
    """
    if metric not in METRICS:
        raise ValueError(f'metric={metric!r} is unknown: use one of '
                         f'{list(METRICS)}.')
    if not 0 < perplexity < len(vectors):
        raise ValueError(f'perplexity={perplexity} must be above 0 and below '
                         f'the number of points, {len(vectors)}: lower it, '
                         'or take more pixels.')
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise ImportError('t-SNE needs scikit-learn: pip install '
                          '"scikit-learn>=1.2"') from error
    if metric == 'cosine':
        vectors = F.normalize(vectors, dim=1)
    solver = TSNE(2, perplexity=perplexity, init='pca', random_state=seed)
    return solver.fit_transform(vectors.numpy()).astype(np.float32)
