# Copyright (c) mmseg_semi authors.
"""Variance of features within and between classes, from a stream."""
from typing import NamedTuple, Optional

import torch
from torch import Tensor

WEIGHTINGS = ('pixel', 'class')


class VarianceTraces(NamedTuple):
    """Traces of the covariance matrices between and within classes."""
    inter: float
    intra: float

    @property
    def ratio(self) -> Optional[float]:
        """inter / intra; None if features do not vary within classes."""
        return self.inter / self.intra if self.intra > 0 else None


class ClassScatter:
    r"""Inter- and intra-class variance of labelled features (PCR, Table 5).

    The paper (appendix A) prints tr(inter-class var.), tr(intra-class var.)
    and their quotient, "var." being the variance matrix, and says no more
    than that they follow linear discriminant analysis. So here, with
    :math:`n_c` features of class c, their mean :math:`\mu_c` and weights
    :math:`w_c` that sum to one over the classes that occur,

    .. math::
        \mu = \sum_c w_c \mu_c, \quad
        tr(S_W) = \sum_c \frac{w_c}{n_c} \sum_{i \in c} \|x_i - \mu_c\|^2,
        \quad
        tr(S_B) = \sum_c w_c \|\mu_c - \mu\|^2.

    The weights are not in the paper. ``pixel``: :math:`w_c = n_c / \sum n`,
    as in LDA, where both traces add up to the variance of all features.
    ``class``: every class that occurs counts the same, so that a frequent
    background does not decide.

    Sums are fp64 and taken around the means seen so far (Chan, Golub and
    LeVeque 1983), so any number of features far from the origin is fine.

    Args:
        num_classes (int): C.
        dim (int): D, width of the features.
        device: Where the sums are kept.
    """

    def __init__(self, num_classes: int, dim: int, device='cpu') -> None:
        kwargs = dict(dtype=torch.float64, device=device)
        self.count = torch.zeros(num_classes, **kwargs)
        self.mean = torch.zeros(num_classes, dim, **kwargs)
        self.squares = torch.zeros(num_classes, **kwargs)

    def update(self, features: Tensor, labels: Tensor) -> None:
        """Add features to the stream.

        Args:
            features (Tensor): (N, D), any floating type.
            labels (Tensor): (N,) long in [0, C).
        """
        features = features.to(self.mean)
        count = torch.zeros_like(self.count)
        count.index_add_(0, labels, torch.ones_like(features[:, 0]))
        mean = torch.zeros_like(self.mean).index_add_(0, labels, features)
        mean /= count.clamp_min(1)[:, None]
        deviation = (features - mean[labels]).square_().sum(1)
        squares = torch.zeros_like(self.squares)
        squares.index_add_(0, labels, deviation)
        self._merge(count, mean, squares)

    def _merge(self, count: Tensor, mean: Tensor, squares: Tensor) -> None:
        total = self.count + count
        share = count / total.clamp_min(1)
        shift = mean - self.mean
        self.squares += squares
        self.squares += shift.square().sum(1) * self.count * share
        self.mean += shift * share[:, None]
        self.count = total

    def class_variance(self) -> Tensor:
        """Trace of each class's covariance, (C,) fp64, NaN if absent."""
        return self.squares / self.count

    def distance(self, weighting: str = 'pixel') -> Tensor:
        """Squared distance of class mean and weighted mean of all class
        means, (C,) fp64, NaN for an absent class."""
        weight = self.weight(weighting)
        distance = (self.mean - weight @ self.mean).square().sum(1)
        return distance.masked_fill(self.count == 0, float('nan'))

    def weight(self, weighting: str = 'pixel') -> Tensor:
        """Weights of the classes, (C,) fp64, 0 for an absent class.

        Args:
            weighting (str): ``pixel`` or ``class``.

        Raises:
            ValueError: The weighting is unknown, or there is no feature.
        """
        if weighting not in WEIGHTINGS:
            raise ValueError(f'weighting {weighting!r} is unknown: use one '
                             f'of {list(WEIGHTINGS)}.')
        if not bool(self.count.any()):
            raise ValueError('There is no labelled pixel to analyse: do the '
                             'annotations hold anything but ignored pixels?')
        weight = self.count if weighting == 'pixel' else self.count > 0
        return weight.double() / weight.sum()

    def traces(self, weighting: str = 'pixel') -> VarianceTraces:
        """tr(S_B) and tr(S_W) of all features so far."""
        weight = self.weight(weighting)
        inter = (weight * self.distance(weighting).nan_to_num()).sum()
        intra = (weight * self.class_variance().nan_to_num()).sum()
        return VarianceTraces(float(inter), float(intra))
