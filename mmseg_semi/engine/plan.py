# Copyright (c) mmseg_semi authors.
"""What a training is going to do, in numbers that a person can check."""
from collections.abc import Sequence

from mmengine.config import Config

from ..datasets.batches import check_size
from ..datasets.held_out import held_out_number
from ..datasets.sampler import equal_shares
from ..datasets.splits import known_splits, split_name
from ..models.regularizers.training_plan import TrainingPlan

SOURCES = ('labeled', 'unlabeled', 'source')


def batch_plan(counts: Sequence[int],
               iterations: int,
               gpus: int = 1,
               accumulate: int = 1,
               images: Sequence[int | None] = (),
               epoch_iters: int | None = None,
               alternate: bool = False) -> dict:
    """Images, iterations and epochs of a training.

    Args:
        counts (Sequence[int]): Labelled and unlabelled images (and those of a
            source domain) of one iteration in all.
        iterations (int): Length of the training.
        gpus (int): Number of processes.
        accumulate (int): Batches of a process that make an iteration.
        images (Sequence[int], optional): Those of the sets, None where not
            known.
        epoch_iters (int, optional): Iterations of an epoch, where the papers'
            loaders dropped the last incomplete batch.
        alternate (bool): Labelled and source images take turns.

    Returns:
        dict: ``gpus``, ``accumulate``; by source (``labeled``, ``unlabeled``,
        perhaps ``source``) ``total``, the images of an iteration in all,
        ``per_gpu``, those in one batch of a process, and ``images``;
        ``iterations``, ``epoch_iters``, ``epochs_labeled`` and
        ``epochs_unlabeled`` (None where not known).

    Raises:
        ValueError: If the processes and batches cannot share the images of
            an iteration equally.
    """
    share = equal_shares(counts, gpus, accumulate)
    images = [*images, *[None] * len(counts)][:len(counts)]
    plan = dict(
        gpus=gpus,
        accumulate=accumulate,
        total=dict(zip(SOURCES, counts)),
        per_gpu=dict(zip(SOURCES, share)),
        images=dict(zip(SOURCES, images)),
        iterations=iterations,
        epoch_iters=epoch_iters)
    plan['epochs_labeled'] = _passes(iterations / (1 + alternate), counts[0],
                                     images[0])
    plan['epochs_unlabeled'] = _epochs(plan, iterations)
    return plan


def config_plan(cfg: Config,
                gpus: int = 1,
                accumulate: int = 1,
                images: Sequence[int | None] | None = None) -> dict:
    """The :func:`batch_plan` of a config, without its data.

    Args:
        cfg (Config): A training config with :class:`SemiSampler`.
        gpus (int): Number of processes.
        accumulate (int): Batches of a process that make an iteration.
        images (Sequence[int | None], optional): Those of the sets. Defaults
            to None: what is known of published lists.

    Returns:
        dict: See there.

    Raises:
        ValueError: As there, if the config has another sampler, or if its
            ``batch_size`` is not the sum of ``counts``.
    """
    loader = cfg.train_dataloader
    sampler = loader.sampler
    if 'counts' not in sampler:
        raise ValueError(
            f'train_dataloader.sampler is {sampler.get("type")}, which does '
            'not say how many labelled and unlabelled images an iteration '
            "has. Use dict(type='SemiSampler', counts=(labelled, "
            'unlabelled)).')
    counts = tuple(sampler.counts)
    plan = batch_plan(counts, cfg.train_cfg.max_iters, gpus, accumulate,
                      listed_images(cfg) if images is None else images,
                      cfg.get('epoch_iters'), sampler.get('alternate', False))
    check_size(
        loader.get('batch_size'), counts, None
        if loader.get('batch_sampler') else tuple(plan['per_gpu'].values()))
    return plan


def _passes(iterations: float, count: int, size: int | None) -> float | None:
    if not size or not count:
        return None
    return round(iterations * count / size, 2)


def _epochs(plan: dict, iterations: int) -> float | None:
    """Epochs of the papers: passes over the unlabelled images."""
    count, size = (plan[key]['unlabeled'] for key in ('total', 'images'))
    epoch = plan['epoch_iters']
    if not count:
        return None
    if epoch and size:
        # CPS draws two batches from the images, and an epoch is a pass of
        # one. What a config states of other images says nothing of these.
        passes = epoch * count / size
        if min(abs(passes - 1), abs(passes - 2)) > .05:
            epoch = None
    if epoch:
        return round(iterations / epoch, 2)
    return _passes(iterations, count, size)


def listed_images(cfg: Config) -> tuple[int | None, int | None]:
    """Images to train on, as far as published lists tell.

    Args:
        cfg (Config): A training config with :class:`SemiSegDataset`.

    Returns:
        tuple: Labelled ones, without those that are held out, and unlabelled
        ones; None where data would have to be looked at.
    """
    lists = {role: count for role, _, count, _ in list_facts(cfg)}
    labeled, pool = lists.get('labeled'), lists.get('unlabeled')
    trained = trained_images(cfg, labeled)
    if cfg.train_dataloader.dataset.get('unlabeled') is None:
        return trained, 0
    if pool is None:  # a folder, whose size the protocol states
        pool = cfg.get('protocol', {}).get('images')
    return trained, None if None in (labeled, pool) else pool - labeled


def trained_images(cfg: Config, labeled: int | None) -> int | None:
    """Labelled images without those that the training holds out.

    Args:
        cfg (Config): A training config.
        labeled (int, optional): All of them; None if not known.

    Returns:
        int, optional: How many are trained on.

    Raises:
        ValueError: If ``held_out`` of the training set is no such number.
    """
    held_out = cfg.train_dataloader.dataset.get('held_out', 0)
    if labeled is None or not held_out:
        return labeled
    return labeled - held_out_number(held_out, labeled)


def list_facts(cfg: Config) -> list[tuple]:
    """The lists of a training, with what is published of each.

    Args:
        cfg (Config): A training config with :class:`SemiSegDataset`.

    Returns:
        list[tuple]: ``(role, name, count, sha256)``; count and hash are None
        for a list that is not published.
    """
    dataset = cfg.train_dataloader.dataset
    facts = []
    for role in ('labeled', 'labeled_source', 'unlabeled'):
        path = (dataset.get(role) or {}).get('ann_file')
        if path:
            name = split_name(path)
            known = known_splits().get(name, {})
            facts.append((role, name, known.get('count'), known.get('sha256')))
    return facts


def training_plan(plan: dict) -> TrainingPlan:
    """What the model is told of a training.

    Args:
        plan (dict): Of :func:`batch_plan`.

    Returns:
        TrainingPlan: See there.
    """
    images, total = plan['images'], plan['total']
    return TrainingPlan(
        total_iters=plan['iterations'],
        labeled_images=images['labeled'],
        unlabeled_images=images['unlabeled'],
        labeled_batch=total['labeled'],
        unlabeled_batch=total['unlabeled'])


def stage_plan(plan: dict, model) -> list[dict]:
    """The stages of a training.

    Args:
        plan (dict): Of :func:`batch_plan`.
        model (Framework): The built model.

    Returns:
        list[dict]: ``term``, ``stage``, ``begin`` and ``end`` (iterations,
        ``end`` excluded), ``epochs`` (the same two in epochs, None where
        these are not known).
    """
    total = plan['iterations']
    found = []
    if model.burn_in:
        found.append(('', 'labelled images only', 0, model.burn_in))
    for name, term in model.terms.items():
        stages = sorted(term.stages().items(), key=lambda item: item[1])
        ends = [begin for _, begin in stages[1:]] + [total]
        found += [(name, stage, begin, end)
                  for (stage, begin), end in zip(stages, ends) if begin < end]
    return [
        dict(
            term=term,
            stage=stage,
            begin=begin,
            end=end,
            epochs=_epoch_range(plan, begin, end))
        for term, stage, begin, end in found
    ]


def _epoch_range(plan: dict, begin: int, end: int) -> list[float] | None:
    pair = [_epochs(plan, begin), _epochs(plan, end)]
    return None if None in pair else pair


def plan_text(plan: dict, rules: Sequence[str]) -> str:
    """The plan of the batches as a table, for the log.

    Args:
        plan (dict): Of :func:`batch_plan`.
        rules (Sequence[str]): What acts on the images of one batch.

    Returns:
        str: Several lines.
    """
    gpus, accumulate = plan['gpus'], plan['accumulate']
    shared = _images(plan['per_gpu'])
    if accumulate > 1:
        shared = f'{accumulate} batches of {shared}'
    rows = [
        ('images of an iteration', _images(plan['total'])),
        (f'on each of {gpus} process(es)', shared),
        ('iterations', f'{plan["iterations"]:,}'),
        ('images', _images(plan['images'])),
        ('epochs (labelled)', _number(plan['epochs_labeled'])),
        ('epochs (unlabelled)', _number(plan['epochs_unlabeled'])),
    ]
    if gpus * accumulate > 1:
        rows += [('within one batch alone' if i == 0 else '', rule)
                 for i, rule in enumerate(rules)]
    width = max(len(name) for name, _ in rows)
    return '\n'.join(f'  {name:<{width}}  {text}' for name, text in rows)


def _images(numbers: dict) -> str:
    words = dict(
        labeled='labelled', unlabeled='unlabelled', source='of the source')
    return ' + '.join(f'{_number(numbers[key])} {words[key]}'
                      for key in SOURCES
                      if numbers.get(key) != 0 and key in numbers)


def _number(value: float | None) -> str:
    return 'not known' if value is None else f'{value:,}'
