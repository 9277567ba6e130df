# Copyright (c) mmseg_semi authors.
"""K-means prototypes and BRPG's adaptive number of them.

Runs once per training, on the host, so it may loop and synchronise.
"""
import math
from typing import List, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

BACKENDS = ('faiss', 'minibatch')
SCATTERS = ('cosine', 'l2', 'l2_norm')
LLOYD_ITERATIONS = 30
MINI_BATCH = 100
"""Rows per step of mini-batch k-means: the default of scikit-learn 0.20.1,
which BRPG's code pins. Since 1.0 it is 1,024."""


def _distinct_rows(rows: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Distinct rows and, per row, the index of its distinct one."""
    # Adding 0 turns -0. into 0., which would differ as bytes.
    rows = np.ascontiguousarray(rows + 0.)
    raw = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))
    _, first, inverse = np.unique(
        raw.ravel(), return_index=True, return_inverse=True)
    # In order of appearance, not of bytes.
    order = first.argsort()
    return rows[first[order]], order.argsort()[inverse]


def _faiss_kmeans(rows: np.ndarray, k: int, seed: int,
                  nredo: int) -> Tuple[np.ndarray, np.ndarray]:
    try:
        import faiss
    except ImportError as error:
        raise ImportError('kmeans: install faiss (pip install faiss-cpu) or '
                          "choose backend='minibatch'.") from error
    single = np.ascontiguousarray(rows, dtype=np.float32)
    # By default faiss trains on 256 points per centre and warns below 39.
    solver = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=LLOYD_ITERATIONS,
        nredo=nredo,
        seed=seed,
        min_points_per_centroid=1,
        max_points_per_centroid=len(rows))
    solver.train(single)
    distance, nearest = solver.index.search(single, 1)
    assignment = nearest[:, 0]
    _fill_empty(assignment, distance[:, 0], k)
    centers = [rows[assignment == c].mean(axis=0) for c in range(k)]
    return np.stack(centers), assignment


def _fill_empty(assignment: np.ndarray, distance: np.ndarray, k: int) -> None:
    """Give every empty cluster the worst-placed row, in place."""
    for cluster in np.flatnonzero(np.bincount(assignment, minlength=k) == 0):
        shared = np.bincount(assignment, minlength=k)[assignment] > 1
        worst = np.where(shared, distance, -1.).argmax()
        assignment[worst] = cluster
        distance[worst] = 0.


def _minibatch_kmeans(rows: np.ndarray, k: int, seed: int,
                      nredo: int) -> Tuple[np.ndarray, np.ndarray]:
    from sklearn.cluster import MiniBatchKMeans
    solver = MiniBatchKMeans(
        k, batch_size=MINI_BATCH, random_state=seed, n_init=nredo).fit(rows)
    return solver.cluster_centers_, solver.labels_


def kmeans(features: Tensor,
           k: int,
           *,
           seed: int,
           backend: str = 'faiss',
           nredo: int = 3) -> Tuple[Tensor, Tensor]:
    """Cluster rows by Euclidean distance.

    Deterministic for a seed, on one machine. With at most k distinct rows
    these are the centres.

    Args:
        features (Tensor): (n, D), finite; n may be 0 or less than k.
        k (int): Number of clusters, at least 1.
        seed (int): Of the starts.
        backend (str): 'faiss': Lloyd on all rows, the best of ``nredo``
            starts, and centres that are exactly the means of their rows.
            'minibatch': scikit-learn's MiniBatchKMeans on 100 rows a step,
            as BRPG's code; a cluster may end without rows.
        nredo (int): Number of starts. One alone ends in a poor optimum about
            one time in three.

    Returns:
        tuple[Tensor, Tensor]: centers (k', D) and assignment (n,), long, with
        k' = min(k, number of distinct rows), on the device of the features.

    Raises:
        ValueError: Unknown backend, k < 1 or features that are not finite.
    """
    if backend not in BACKENDS:
        raise ValueError(f'backend={backend!r} is not one of {BACKENDS}.')
    if k < 1:
        raise ValueError(f'kmeans: k={k} must be at least 1.')
    bad = int((~features.isfinite().all(dim=1)).sum())
    if bad:
        raise ValueError(
            f'kmeans: {bad} of {len(features)} feature rows contain NaN or '
            'inf; leave them out (mixed precision overflows early in '
            'training) or lower the learning rate.')
    rows = features.detach().cpu().numpy()
    if len(rows):
        centers, assignment = _distinct_rows(rows)
    else:
        centers, assignment = rows, np.zeros(0, np.int64)
    if len(centers) > k:
        solve = _faiss_kmeans if backend == 'faiss' else _minibatch_kmeans
        centers, assignment = solve(rows, k, seed, nredo)
    return (torch.as_tensor(centers).to(features),
            torch.as_tensor(assignment).long().to(features.device))


def scatter_score(features: Tensor, kind: str = 'cosine') -> float:
    """How scattered a class is; a larger score is more scattered.

    Args:
        features (Tensor): (n, D), the rows of a class.
        kind (str): 'cosine': 1 - the mean cosine between the rows and their
            mean (BRPG Eq. 11, whose score falls with scatter). 'l2': mean
            distance to the mean (Eq. 13). 'l2_norm': the same on unit
            vectors (official code only).

    Returns:
        float: The score; NaN without rows.

    Raises:
        ValueError: Unknown kind.
    """
    if kind not in SCATTERS:
        raise ValueError(f'kind={kind!r} is not one of {SCATTERS}.')
    if len(features) == 0:
        return math.nan
    rows = features.detach().double()
    if kind == 'l2_norm':
        rows = F.normalize(rows, dim=1)
    mean = rows.mean(dim=0, keepdim=True)
    if kind == 'cosine':
        return 1 - F.cosine_similarity(rows, mean).mean().item()
    return (rows - mean).norm(dim=1).mean().item()


def most_scattered(scores: List[float], ratio: float) -> List[int]:
    """Classes that deserve one more prototype (BRPG Eq. 12 and 14).

    As an order statistic, which picks the same classes as the paper's strict
    percentile and is not upset by empty classes.

    Args:
        scores (list[float]): One per class, larger is more scattered; NaN
            marks a class without rows, which is never chosen.
        ratio (float): alpha_t, 0.05 in the paper.

    Returns:
        list[int]: ``max(1, round(ratio * C))`` classes, ascending, or fewer
        if too few have rows. Ties go to the lower class.
    """
    known = [index for index, score in enumerate(scores) if score == score]
    known.sort(key=lambda index: -scores[index])
    return sorted(known[:max(1, round(ratio * len(scores)))])


def class_prototypes(features: Tensor,
                     k: int,
                     *,
                     normalize: bool = False,
                     seed: int = 0,
                     backend: str = 'faiss',
                     nredo: int = 3) -> Tensor:
    """Prototypes of one class from its rows (BRPG Eq. 10, PCR Alg. 2).

    Args:
        features (Tensor): (n, D), finite; n may be 0.
        k (int): Number of prototypes wanted.
        normalize (bool): Cluster the rows as unit vectors, by direction. A
            prototype still is the mean of the rows as they are, in whose
            scale it will move.
        seed (int): See :func:`kmeans`.
        backend (str): See :func:`kmeans`.
        nredo (int): See :func:`kmeans`.

    Returns:
        Tensor: (k', D), k' <= k.
    """
    rows = F.normalize(features, dim=1) if normalize else features
    centers, assignment = kmeans(
        rows, k, seed=seed, backend=backend, nredo=nredo)
    if not normalize:
        return centers
    sums = torch.zeros_like(centers).index_add_(0, assignment, features)
    counts = torch.bincount(assignment, minlength=len(centers))[:, None]
    # A cluster without rows keeps its centre.
    return torch.where(counts > 0, sums / counts.clamp_min(1), centers)
