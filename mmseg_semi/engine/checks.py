# Copyright (c) mmseg_semi authors.
"""Mistakes in a config that are found before the first iteration."""
import torch.nn as nn
from torch.utils.data import DataLoader


def check_batch_size(dataloader: DataLoader) -> None:
    """The batch size must be what the sampler fills.

    Args:
        dataloader (DataLoader): The training dataloader. Samplers without
            ``counts`` are not checked.

    Raises:
        ValueError: If ``batch_size`` is not the sum of the counts: every
            batch would mix the sources in another proportion.
    """
    counts = getattr(dataloader.sampler, 'counts', None)
    if counts is None or dataloader.batch_size is None:
        return
    if dataloader.batch_size != sum(counts):
        raise ValueError(
            f'train_dataloader.batch_size is {dataloader.batch_size}, but '
            f'its sampler fills batches of {sum(counts)} '
            f'(counts={tuple(counts)}). Set batch_size={sum(counts)}, or '
            'change `counts` (labelled, unlabelled images per process).')


def check_num_classes(model: nn.Module, dataset) -> None:
    """The decode head must have the dataset's number of classes.

    Args:
        model (nn.Module): The unwrapped model. Nothing is checked if it has
            no ``decode_head`` that says ``num_classes``.
        dataset: Nothing is checked if its ``metainfo`` has no ``classes``.

    Raises:
        ValueError: If the numbers differ.
    """
    classes = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    head = getattr(model, 'decode_head', None)
    if isinstance(head, nn.ModuleList):  # a cascade: the last one predicts
        head = head[-1]
    num_classes = getattr(head, 'num_classes', None)
    if classes is None or num_classes is None or num_classes == len(classes):
        return
    raise ValueError(
        f'The decode head ({type(head).__name__}) has '
        f'num_classes={num_classes}, but the training set '
        f'({type(dataset).__name__}) has {len(classes)} classes: '
        f'{", ".join(map(str, classes))}. Set num_classes={len(classes)} in '
        'the decode head and in every auxiliary head, or give the dataset '
        f'`metainfo` with the {num_classes} classes that the model has.')
