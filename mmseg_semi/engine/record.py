# Copyright (c) mmseg_semi authors.
"""What a checkpoint remembers of how it was trained."""
from collections.abc import Mapping

from mmengine.dist import get_world_size

from ..datasets.batches import batches_of
from ..version import __version__
from .plain import to_plain

RECORD_KEY = 'mmseg_semi'
VALIDATED_KEY = 'last_val_iter'

_WORDS = dict(
    world_size='number of processes',
    accumulate='accumulated batches',
    total_batch='images of an iteration in all',
    split_info='data split')

# What the checkpoint's optimizer and schedulers bring along when they are
# loaded over those of the config. The kind of an optimizer is not in them.
_KEPT = ('optimizer.', 'paramwise_cfg', 'param_scheduler')
_KIND = ('optimizer.type', )
_MOST = 6  # phrases in a warning


def training_record(runner) -> dict:
    """Facts a resumed run must agree on, and the version that wrote them.

    Args:
        runner (Runner): A runner whose training loop is built.

    Returns:
        dict: ``version``, the entries of :func:`batch_record`,
        ``sampler_seed``, the dataset's ``split_info`` (None if it has
        none), and ``schedule``, see :func:`schedule_record`.
    """
    loader = runner.train_dataloader
    return dict(
        version=__version__,
        **batch_record(runner),
        sampler_seed=getattr(batches_of(loader).sampler, 'seed', None),
        split_info=to_plain(
            getattr(loader.dataset, 'split_info', None), 'split_info'),
        schedule=schedule_record(runner))


def schedule_record(runner) -> dict:
    """Length, optimizer and schedule as the config states them.

    Args:
        runner (Runner): A runner whose training loop is built.

    Returns:
        dict: Plain values by dotted name: ``max_iters``, and the entries of
        ``optim_wrapper`` and ``param_scheduler``, such as ``optimizer.lr``
        and ``param_scheduler[0].end``; those alone that the runner's config
        has.
    """
    entries = dict(max_iters=runner.train_loop.max_iters)
    for section, name in (('optim_wrapper', ''), ('param_scheduler',
                                                  'param_scheduler')):
        value = runner.cfg.get(section)
        if name and isinstance(value, Mapping) and 'type' in value:
            value = [value]  # a single one may go without the list
        entries.update(_flat(value, name))
    return entries


def _flat(value, name: str) -> dict:
    if value is None and name in ('', 'param_scheduler'):
        return {}
    if isinstance(value, Mapping):
        items = [(f'{name}.{key}' if name else str(key), entry)
                 for key, entry in value.items()]
    elif isinstance(value, (list, tuple)):
        items = [(f'{name}[{i}]', entry) for i, entry in enumerate(value)]
    else:
        plain = value is None or isinstance(value, (bool, int, float, str))
        return {name: value if plain else str(value)}
    return {k: v for key, entry in items for k, v in _flat(entry, key).items()}


def batch_record(runner) -> dict:
    """The images of an iteration, and how they were shared.

    Args:
        runner (Runner): A runner whose training loop is built.

    Returns:
        dict: ``total_batch``, the images of one iteration in all by source
        (a list; for a sampler without sources their sum), ``world_size``,
        ``accumulate``, and ``batch_size``, images in one batch of one
        process.
    """
    batches = batches_of(runner.train_dataloader)
    accumulate = getattr(runner.train_loop, 'accumulate', 1)
    world_size, size = get_world_size(), batches.batch_size
    total = batches.total
    if total is None and size is not None:
        total = [size * world_size * accumulate]
    return dict(
        total_batch=total and list(total),
        world_size=world_size,
        accumulate=accumulate,
        batch_size=size)


def differences(before: dict, now: dict) -> list[str]:
    """Say in words what changed between two records.

    Args:
        before (dict): The record in the checkpoint.
        now (dict): The record of this run.

    Returns:
        list[str]: One phrase per difference that alters training.
    """
    return [
        f'{words}: {before[key]} before, {now[key]} now'
        for key, words in _WORDS.items()
        if key in before and before[key] != now[key]
    ]


def schedule_differences(before: dict,
                         now: dict) -> tuple[list[str], list[str]]:
    """Say in words how optimizer and schedule differ from the checkpoint's.

    Args:
        before (dict): The record in the checkpoint; an old one may have none
            of the schedule.
        now (dict): The record of this run.

    Returns:
        tuple[list[str], list[str]]: A phrase for each entry that the
        checkpoint keeps, and for each that the config decides.
    """
    old, new = before.get('schedule'), now.get('schedule')
    kept, changed = [], []
    if not old or not new:
        return kept, changed
    for key in dict.fromkeys((*old, *new)):
        if key in old and key in new and old[key] == new[key]:
            continue
        phrase = (f'{key}: {_said(old, key)} in the checkpoint, '
                  f'{_said(new, key)} in the config')
        stays = key.startswith(_KEPT) and key not in _KIND
        (kept if stays else changed).append(phrase)
    return kept, changed


def _said(entries: dict, key: str) -> str:
    return str(entries[key]) if key in entries else 'not set'


def resume_warnings(before: dict, now: dict) -> list[str]:
    """What to tell the user of a run that is not the one it resumes.

    Args:
        before (dict): The record in the checkpoint; empty where nothing is
            resumed.
        now (dict): The record of this run.

    Returns:
        list[str]: The warnings.
    """
    kept, changed = schedule_differences(before, now)
    changed = [*differences(before, now), *changed]
    warnings = []
    if changed:
        warnings.append(
            f'This run differs from the one it resumes ({_listed(changed)}). '
            'It goes on, but it will not repeat what the other would have '
            'done.')
    if kept:
        warnings.append(
            'Learning rate, optimizer options and schedule of the checkpoint '
            f'are kept, those of the config are not used ({_listed(kept)}). '
            'To use them, train from the weights of the checkpoint '
            '(load_from=... without --resume) in another --work-dir.')
    return warnings


def _listed(phrases: list[str]) -> str:
    more = len(phrases) - _MOST
    shown = '; '.join(phrases[:_MOST])
    return shown + (f'; and {more} more' if more > 0 else '')
