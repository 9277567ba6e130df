# Copyright (c) mmseg_semi authors.
"""Which features BRPG banks during its sampling stage (Eq. 8-9)."""
from typing import Dict, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...dist import gather_rows
from ...functional import draw_positions
from ..banks import ClassBank


class Candidates(NamedTuple):
    """Pixels at feature stride, labelled or unlabelled.

    ``features`` (B, D, h, w); ``labels`` (B, h, w) long, 255 = none;
    ``predicted`` (B, h, w) long; ``confidence`` (B, h, w) in [0, 1].
    """
    features: Tensor
    labels: Tensor
    predicted: Tensor
    confidence: Tensor


def candidates(logits: Tensor,
               features: Tensor,
               labels: Optional[Tensor] = None) -> Candidates:
    """Bring scores and labels to the features' stride.

    Args:
        logits (Tensor): (B, C, h, w) at native stride; the confidence is
            taken there, not upsampled.
        features (Tensor): (B, D, h, w).
        labels (Tensor, optional): (B, H, W) long, 255 = none; nearest
            neighbour. The prediction takes their place.

    Returns:
        Candidates: Detached.
    """
    size = features.shape[-2:]
    logits = logits.detach()
    if logits.shape[-2:] != size:
        logits = F.interpolate(
            logits, size=size, mode='bilinear', align_corners=False)
    confidence, predicted = logits.softmax(dim=1).max(dim=1)
    if labels is None:
        labels = predicted
    else:
        labels = F.interpolate(
            labels[:, None].float(), size=size, mode='nearest')[:, 0].long()
    return Candidates(features.detach().float(), labels, predicted, confidence)


def mask_padding(pool: Candidates, valid: Tensor) -> Candidates:
    """Give padding the label 255; ``valid`` is (B, H, W) bool."""
    real = F.interpolate(
        valid[:, None].float(), size=pool.labels.shape[-2:],
        mode='nearest')[:, 0] > 0
    return pool._replace(labels=pool.labels.masked_fill(~real, 255))


def confidence_groups(labeled: Candidates, unlabeled: Candidates,
                      labeled_threshold: Tensor,
                      unlabeled_threshold: float) -> Dict[str, Tensor]:
    """CPG's split into high and low confidence (Sec. 3.4.1).

    A labelled pixel counts only if it is predicted right; it is high from
    its threshold on and low below. An unlabelled pixel can only be high.

    Args:
        labeled_threshold (Tensor): (C,) eta_s per class.
        unlabeled_threshold (float): eta_s for pseudo-labels.

    Returns:
        dict[str, Tensor]: ``high`` and ``low``, (B_l + B_u, h, w) bool.
    """
    right = (labeled.predicted == labeled.labels)
    threshold = labeled_threshold[labeled.predicted]
    high = right & (labeled.confidence >= threshold)
    trusted = (unlabeled.labels != 255) & (
        unlabeled.confidence >= unlabeled_threshold)
    return dict(
        high=torch.cat([high, trusted]),
        low=torch.cat([right & ~high, torch.zeros_like(trusted)]))


def random_group(labeled: Candidates, unlabeled: Candidates,
                 unlabeled_threshold: float) -> Dict[str, Tensor]:
    """The plain baseline (Table 6, III): no split by confidence.

    Every labelled pixel and every trusted pseudo-labelled one may be drawn.
    The paper does not say which pixels its baseline draws from; this is the
    reading that changes nothing but the split.
    """
    trusted = (unlabeled.labels != 255) & (
        unlabeled.confidence >= unlabeled_threshold)
    return dict(all=torch.cat([labeled.labels != 255, trusted]))


def draw_rows(pool: Candidates, mask: Tensor, quota: int,
              generator: torch.Generator) -> Tuple[Tensor, Tensor, Tensor]:
    """Draw at most ``quota`` pixels of ``mask`` (B, h, w), over all classes.

    Returns:
        tuple: features (n, D), labels (n,) with -1 in unused places,
        confidence (n,), where n = min(quota, B * h * w).
    """
    image, row, col, valid = draw_positions(mask, min(quota, mask.numel()),
                                            generator)
    labels = pool.labels[image, row, col].masked_fill(~valid, -1)
    confidence = pool.confidence[image, row, col]
    return pool.features[image, :, row, col], labels, confidence


class FeatureBanks(nn.Module):
    """One :class:`ClassBank` per group, filled from all ranks alike.

    Args:
        groups (tuple[str]): ``high`` and ``low`` (CPG) or ``all`` (plain).
        num_classes (int): C.
        dim (int): D.
        capacity (int): V per class and group.
        samples_per_image (int): The paper's ``sample_num``.
    """

    def __init__(self, groups: Tuple[str, ...], num_classes: int, dim: int,
                 capacity: int, samples_per_image: int) -> None:
        super().__init__()
        self.samples_per_image = samples_per_image
        self.banks = nn.ModuleDict(
            {name: ClassBank(num_classes, capacity, dim)
             for name in groups})

    @property
    def allocated(self) -> bool:
        return all(bank.allocated for bank in self.banks.values())

    def allocate(self) -> None:
        for bank in self.banks.values():
            bank.allocate()

    def release(self) -> None:
        """Free the memory; the banks serve once, for the clustering."""
        for bank in self.banks.values():
            bank.release()

    def fill(self, labeled: Candidates, unlabeled: Candidates,
             masks: Dict[str, Tensor], generator: torch.Generator) -> None:
        """Draw this step's rows of every group and push all ranks' rows."""
        pool = Candidates(*(torch.cat(pair)
                            for pair in zip(labeled, unlabeled)))
        for name, bank in self.banks.items():
            sources = len(labeled.labels)
            if name != 'low':
                sources += len(unlabeled.labels)
            rows = draw_rows(pool, masks[name],
                             self.samples_per_image * sources, generator)
            self.push(name, *rows)

    def push(self, name: str, features: Tensor, labels: Tensor,
             confidence: Tensor) -> None:
        """Gather the rows of every rank, in rank order, and enqueue them."""
        self.banks[name].push(
            gather_rows(features), gather_rows(labels),
            gather_rows(confidence))
