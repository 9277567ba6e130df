# Copyright (c) mmseg_semi authors.
"""Why a run may go another way: what differs from its recipe, in words."""
from ..datasets.splits import known_splits
from .band import Departure
from .curves import LoggedRun, Reference, same_list


def likely_causes(run: LoggedRun, reference: Reference,
                  found: list[Departure]) -> list[str]:
    """Compare a run with its recipe, and read the symptoms.

    Args:
        run (LoggedRun): The run.
        reference (Reference): The recipe, or the user's earlier runs.
        found (list[Departure]): Where it left the band.

    Returns:
        list[str]: What is known to be different first; what only the curves
        hint at after it. Empty if the run is inside and as the recipe.
    """
    causes = [
        *_batch(run.facts, reference.facts),
        *_lists(run.facts, reference.facts),
        *_rates(run.facts, reference.facts),
        *_weights(run.facts, reference.facts),
        *_filter(run.facts, reference.facts),
        *_length(run.facts, reference.facts),
    ]
    return causes + ([] if causes else _symptoms(found))


def _batch(ours: dict, theirs: dict) -> list[str]:
    if 'batch' not in ours or 'batch' not in theirs:
        return []
    if list(ours['batch']) == list(theirs['batch']):
        return []
    return [
        f'batch: {_plus(ours["batch"])} images (labelled + unlabelled) an '
        f'iteration over all GPUs, the recipe has {_plus(theirs["batch"])}. '
        'Set train_dataloader.batch_size and sampler.counts.'
    ]


def _plus(counts) -> str:
    return ' + '.join(map(str, counts))


def _lists(ours: dict, theirs: dict) -> list[str]:
    name, wanted = ours.get('list'), theirs.get('list')
    if wanted and name and not same_list(name, wanted):
        return [
            f'lists: trained on {name}, the recipe on {wanted}. Set '
            'train_dataloader.dataset.labeled.ann_file.'
        ]
    known = known_splits().get(wanted,
                               {}).get('sha256') or theirs.get('sha256')
    if ours.get('sha256') and known and ours['sha256'] != known:
        return [
            f'lists: {name} has other images than the published list '
            f'(SHA-256 {ours["sha256"][:8]}, not {known[:8]}). Import it '
            'with tools/dataset_converters/import_splits.py.'
        ]
    return []


def _rates(ours: dict, theirs: dict) -> list[str]:
    causes = []
    if theirs.get('optimizer') and ours.get('optimizer') and (
            ours['optimizer'] != theirs['optimizer']):
        causes.append(f'optimizer: {ours["optimizer"]}, the recipe has '
                      f'{theirs["optimizer"]}.')
    for group, option in (('encoder', 'optim_wrapper.optimizer.lr'),
                          ('decoder', 'optim_wrapper.paramwise_cfg.'
                           'custom_keys.decode_head.lr_mult')):
        rate, wanted = (
            facts.get('lr', {}).get(group) for facts in (ours, theirs))
        if rate and wanted and abs(rate / wanted - 1) > 0.01:
            causes.append(
                f'learning rate of the {group}: {rate:g} is '
                f'{rate / wanted:.3g} times the recipe\'s {wanted:g}. See '
                f'{option}.')
    return causes


def _weights(ours: dict, theirs: dict) -> list[str]:
    weights, wanted = ours.get('weights'), theirs.get('weights')
    if weights == 'none' and wanted != 'none':
        return [
            'initial weights: the encoder starts from random ones. Set '
            'model.segmentor.backbone.init_cfg.'
        ]
    if wanted and weights != wanted:
        return [
            f'initial weights: the encoder starts from {weights}, the '
            f'recipe from {wanted}.'
        ]
    return []


def _filter(ours: dict, theirs: dict) -> list[str]:
    threshold, wanted = ours.get('threshold'), theirs.get('threshold')
    if None in (threshold, wanted) or threshold == wanted:
        return []
    return [
        f'filter: pseudo-labels from a confidence of {threshold:g} on, the '
        f'recipe has {wanted:g}. Set `threshold` of the consistency terms.'
    ]


def _length(ours: dict, theirs: dict) -> list[str]:
    causes = []
    crops, lengths = ([facts.get(key) for facts in (ours, theirs)]
                      for key in ('crop', 'iterations'))
    if None not in crops and crops[0] != crops[1]:
        causes.append(f'crop: {crops[0]}, the recipe has {crops[1]}.')
    # The published logs tell the length of an epoch to a few iterations.
    if None not in lengths and abs(lengths[0] / lengths[1] - 1) > 0.05:
        causes.append(f'length: {lengths[0]} iterations, the recipe has about '
                      f'{lengths[1]}.')
    return causes


def _symptoms(found: list[Departure]) -> list[str]:
    """What the curves alone suggest, where the settings are the recipe's."""
    by_metric = {departure.metric: departure for departure in found}
    causes = []
    loss, kept, score = (
        by_metric.get(name) for name in ('loss', 'kept', 'miou'))
    if loss and loss.above and loss is found[0] and loss.epoch <= 1:
        causes.append(
            'initial weights: the loss is too high from the begin on. Does '
            'the log say that the encoder\'s checkpoint was loaded?')
    if kept and not loss:
        causes.append(
            'filter: another share of pixels passes although the loss is '
            'right. Are padding and classes labelled as in the recipe?')
    if score and not loss and not kept:
        causes.append(
            'evaluation: training goes as the recipe, only the score does '
            'not. Compare windows, resizing and the network that predicts.')
    if found and not causes:
        causes.append(
            'the settings that are compared here are those of the recipe; '
            'look at augmentation, BatchNorm and the data on disk.')
    return causes
