# Copyright (c) mmseg_semi authors.
"""Quantities that depend on nothing but the iteration.

Iterations count from 0: ``it`` is the number of finished training steps.
"""
import math
from typing import Optional, Tuple


def ema_momentum(k: int, momentum: float) -> float:
    """Decay of the teacher's k-th update: 0, 1/2, 2/3, ... up to momentum.

    Args:
        k (int): Number of earlier updates. The first one copies the student.
        momentum (float): In [0, 1).

    Returns:
        float: ``min(1 - 1 / (k + 1), momentum)``.
    """
    return min(1 - 1 / (k + 1), momentum)


def cosine_ema_momentum(k: int, it: int, total: int, momentum: float) -> float:
    """Decay that rises to 1 over the training (CMB's official code).

    The paper prints a constant 0.997; the code starts from 0.995 and caps
    the first updates ten times less than :func:`ema_momentum` does. Updates
    and iterations are counted apart: under gradient accumulation there are
    fewer updates, but the decay has to reach 1 all the same.

    Args:
        k (int): Number of earlier updates. The first one copies the student.
        it (int): Iteration.
        total (int): Length of the training in iterations.
        momentum (float): In [0, 1), of the first iterations.

    Returns:
        float: ``min(1 - 1 / (10 k + 1), 1 - (1 - momentum) (1 + cos(pi it /
        total)) / 2)``.
    """
    share = (1 + math.cos(math.pi * min(it / total, 1.))) / 2
    return min(1 - 1 / (10 * k + 1), 1 - (1 - momentum) * share)


def warm_up(it: int, length: int, kind: str = 'exp') -> float:
    """Weight r(t) of the pseudo-label loss at the start (CMB, Eq. 6).

    Args:
        it (int): Iteration.
        length (int): Iterations until the weight is 1, at least 1.
        kind (str): ``exp`` is exp(-5 (1 - it / length) ** 2), the official
            code; ``hard`` is 0 until then, the paper's text.

    Returns:
        float: In [0, 1].

    Raises:
        ValueError: Unknown kind, or no iterations.
    """
    if length < 1:
        raise ValueError(f'warm_up: length={length} must be at least 1 '
                         'iteration; leave the warm-up out for none.')
    if kind not in ('exp', 'hard'):
        raise ValueError(
            f'warm_up kind {kind!r} is unknown: use "exp" or "hard".')
    if it >= length:
        return 1.
    return math.exp(-5 * (1 - it / length)**2) if kind == 'exp' else 0.


def keep_percent(it: int,
                 total: int,
                 start: float = 80.,
                 epoch_iters: Optional[int] = None) -> float:
    """Share of pixels the entropy filter keeps, rising linearly to 100.

    Args:
        it (int): Iteration.
        total (int): Length of the training in iterations.
        start (float): Percentage at iteration 0.
        epoch_iters (int, optional): Iterations per epoch; the value then
            changes at the start of an epoch only, as in the official codes.

    Returns:
        float: Percentage in [start, 100].
    """
    if epoch_iters is not None:
        it = it // epoch_iters * epoch_iters
    return 100 - (100 - start) * (1 - min(it / total, 1.))


def confidence_schedule(it: int,
                        begin: int,
                        total: int,
                        start: float = .8,
                        end: float = .95) -> float:
    """Confidence that a pseudo-label needs to train prototypes, eta_t.

    BRPG Eq. 19 counts from the end of the sampling stage. The official code
    counts from epoch 5 whatever the stage: give that as ``begin``; earlier
    iterations then get a value below ``start``.

    Args:
        it (int): Iteration.
        begin (int): Iteration at which the value is ``start``.
        total (int): Iteration at which it is ``end``.
        start (float): eta_0.
        end (float): eta_e, not exceeded.

    Returns:
        float: eta_t.

    Raises:
        ValueError: ``begin`` is not before ``total``.
    """
    if begin >= total:
        raise ValueError(
            f'confidence_schedule: begin={begin} must be less than '
            f'total={total}; train longer or end the sampling stage earlier.')
    return start + (end - start) * min((it - begin) / (total - begin), 1.)


def iters_per_epoch(num_unlabeled: int, world_size: int,
                    batch_per_gpu: int) -> int:
    """Iterations of one pass over the unlabelled images.

    Images are shared out with padding and the last incomplete batch is
    dropped, as the official loaders of U2PL, PCR and BRPG do.

    Args:
        num_unlabeled (int): Number of unlabelled images.
        world_size (int): Number of GPUs.
        batch_per_gpu (int): Unlabelled images per GPU and iteration.

    Returns:
        int: ``floor(ceil(num_unlabeled / world_size) / batch_per_gpu)``.
    """
    return -(-num_unlabeled // world_size) // batch_per_gpu


def sampling_window(first_epoch: int, epochs: int,
                    iters_per_epoch: int) -> Tuple[int, int]:
    """Iterations [begin, end) during which features are sampled.

    Args:
        first_epoch (int): T_S1 of BRPG's Algorithm 1.
        epochs (int): T_S2 - T_S1.
        iters_per_epoch (int): Iterations per epoch.

    Returns:
        tuple[int, int]: Begin and end; clustering happens at the end.
    """
    return (first_epoch * iters_per_epoch,
            (first_epoch + epochs) * iters_per_epoch)
