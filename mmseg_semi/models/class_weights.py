# Copyright (c) mmseg_semi authors.
"""Weights of the classes in the losses that heads declare."""
from numbers import Real
from typing import List, Optional, Sequence, Union

from mmseg.models.losses import CrossEntropyLoss, cross_entropy
from torch import Tensor, nn

from .head_adapters import auxiliary_stages, decode_stages

BALANCED = 'balanced'


def check_class_weight(value: Union[str, Sequence[float], None],
                       num_classes: int):
    """Check the option of that name.

    Returns:
        str | list[float] | None: ``value``, a sequence as a list.

    Raises:
        ValueError: If it is neither None, ``'balanced'`` nor one number that
            is not negative for each class.
    """
    if value is None or value == BALANCED:
        return value
    weights = list(value) if isinstance(value, (list, tuple)) else []
    if len(weights) != num_classes or not all(
            isinstance(w, Real) and w >= 0 for w in weights):
        raise ValueError(
            f'supervised: class_weight={value!r} must be {BALANCED!r} or '
            f'{num_classes} numbers of at least 0, one for each class.')
    return weights


def weighable_losses(net: nn.Module) -> List[nn.Module]:
    """The losses of all heads that score the data set's classes.

    Args:
        net (nn.Module): A segmentor.

    Raises:
        TypeError: If a head declares no loss that takes weights of classes.
        ValueError: If a loss has weights already, or none for each class.
    """
    found = []
    for path, stage in (*decode_stages(net), *auxiliary_stages(net)):
        if stage.own_classes:
            continue
        kind = type(stage.head).__name__
        losses = [
            module for module in stage.head.modules()
            if 'class_weight' in vars(module)
        ]
        if not losses:
            raise TypeError(
                f'class_weight: the {kind} ({path}) has no loss of pixels '
                'that takes weights of classes. Leave class_weight out, or '
                'give SupervisedLoss a criterion.')
        for loss in losses:
            name = type(loss).__name__
            if loss.class_weight is not None:
                raise ValueError(
                    f'class_weight is given to SupervisedLoss and to {name} '
                    f'of the {kind} ({path}): remove one of them.')
            if isinstance(loss, CrossEntropyLoss) and loss.use_sigmoid:
                raise ValueError(
                    f'class_weight: the {kind} ({path}) learns by sigmoid, '
                    'one score at a time. Use out_channels=num_classes and '
                    'use_sigmoid=False, or leave class_weight out.')
        found += losses
    return found


def allow_ignored_pixels(net: nn.Module) -> None:
    """Let weighted cross-entropy meet ignored pixels.

    MMSegmentation's divides by the sum of the weights of all pixels and looks
    up one for ignored pixels too, which fails. Here they have none, as in
    PyTorch.

    Args:
        net (nn.Module): Its losses are changed in place.
    """
    for module in net.modules():
        if (isinstance(module, CrossEntropyLoss)
                and module.cls_criterion is cross_entropy):
            module.cls_criterion = _cross_entropy


def _cross_entropy(pred: Tensor,
                   label: Tensor,
                   weight: Optional[Tensor] = None,
                   class_weight: Optional[Tensor] = None,
                   reduction: str = 'mean',
                   avg_factor=None,
                   ignore_index: int = -100,
                   **kwargs) -> Tensor:
    """MMSegmentation's, with its divisor where it would fail."""
    if class_weight is not None and avg_factor is None and reduction == 'mean':
        known = label != ignore_index
        weights = class_weight[label.where(known, label.new_zeros(()))]
        avg_factor = (weights * known).sum()
    return cross_entropy(
        pred,
        label,
        weight,
        class_weight=class_weight,
        reduction=reduction,
        avg_factor=avg_factor,
        ignore_index=ignore_index,
        **kwargs)
