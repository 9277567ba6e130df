# Copyright (c) mmseg_semi authors.
"""Look at the data of a training, and at the training, before it starts.

DATA_OR_CONFIG is a folder that `mmseg-semi import` wrote, or a config (a path
or mmseg_semi::NAME). All sets are looked at file by file and against each
other; what was found is remembered for files that do not change. Of a config,
the plan of the training is told, too, and what a step of it needs: a few are
taken with random weights, and leave nothing behind.

example:
  mmseg-semi check data/leaves
  mmseg-semi check my_config.py --no-steps
"""
import argparse
import os

from .arguments import OptionsAction, add_json
from .output import print_json

NAME = 'check'
HELP = 'what is wrong with the data; plan, memory and time of a training'
LIGHT = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``mmseg-semi check``."""
    parser.add_argument(
        'data_or_config',
        metavar='DATA_OR_CONFIG',
        help='folder of an import, or config')
    parser.add_argument(
        '--accept',
        nargs='+',
        default=[],
        metavar='KIND',
        help='kinds of errors that count as warnings (the name in brackets '
        'behind each, as shared-image)')
    parser.add_argument(
        '--all',
        action='store_true',
        help='list every file that was found, not five of a kind')
    parser.add_argument(
        '--no-steps',
        action='store_true',
        help='take no steps of the training: memory and time stay unknown')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config')
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Check, tell, and return 1 if a training could not work."""
    from ..data_check import FactCache, check_config, default_cache
    from .progress import progress_bar
    is_folder = os.path.isdir(args.data_or_config)
    cfg = _read(args.data_or_config, is_folder, args.cfg_options)
    with FactCache(default_cache()) as cache, progress_bar(
            'Looking at the data') as progress:
        report = check_config(
            cfg, pipelines=not is_folder, cache=cache, progress=progress)
    report = report.accept(args.accept)
    say = (lambda text: None) if args.json else print
    say(_data_text(report, args.all))
    data = report.as_dict()
    found = dict(
        findings=data.pop('findings'), data=data, notes=[], problems=[])
    if not is_folder and cfg.get('model') and cfg.get('train_dataloader'):
        _silence_builders()
        _tell_plan(cfg, report, found, say)
        if report.errors and not args.no_steps:
            found['notes'].append('No step was taken: mend the data first.')
        elif not args.no_steps:
            _tell_steps(cfg, found, say)
    for kind in ('note', 'problem'):
        for text in found[f'{kind}s']:
            say(f'{"error" if kind == "problem" else kind}: {text}')
    if args.json:
        print_json(found)
    return int(bool(report.errors or found['problems']))


def _read(name: str, is_folder: bool, options: dict | None):
    """The config that is checked."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    from ..engine.config_reading import read_config
    from ..importing.settings import data_loaders
    from ..starting.pixels import load_bands
    from .progress import show_progress
    if is_folder:
        loaders = data_loaders(name)
        load_bands(loaders, show_progress)
        cfg = Config(loaders)
    else:
        cfg = read_config(name)
    if options:
        cfg.merge_from_dict(options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    return cfg


def _data_text(report, everything: bool) -> str:
    from ..data_check.pixel_table import pixel_table
    parts = [report.as_table(limit=10**9 if everything else 5)]
    table = pixel_table(report)
    if table:
        parts += ['', 'Labelled pixels', table]
    return '\n'.join(parts)


def _tell_plan(cfg, report, found: dict, say) -> None:
    """Add ``plan``, and what there is to say of weights, to what was found."""
    from ..engine.explain import explain
    from ..engine.explain_text import explain_text
    from ..models.segmentors.downloads import weights_at_hand
    missing = ''
    if 'segmentor' not in cfg.model:
        missing = 'The model wraps no segmentor (docs/any_model.md)'
    elif 'counts' not in (cfg.train_dataloader.get('sampler') or {}):
        missing = 'train_dataloader.sampler is no SemiSampler'
    if missing:
        found['notes'].append(f'{missing}: the plan is not told.')
        return
    plan = found['plan'] = explain(cfg, images=_numbers(cfg, report))
    say(f'\nThe training\n{explain_text(plan)}')
    notes, problems = weights_at_hand(plan['weights'])
    found['notes'] += notes
    found['problems'] += problems


def _tell_steps(cfg, found: dict, say) -> None:
    """Add ``step`` to what was found."""
    from ..engine.dry_steps import dry_steps, steps_text
    from .progress import show_waiting
    with show_waiting('Taking some steps of the training'):
        step = found['step'] = dry_steps(cfg)
    if 'error' in step:
        found['problems'].append('A step of the training fails: ' +
                                 (step['traceback'] or step['error']))
    else:
        say(f'\n{steps_text(step, cfg.train_cfg.get("max_iters"))}')


def _numbers(cfg, report) -> list[int | None]:
    """Labelled, unlabelled and source images to train on; None: unknown."""
    from ..engine.plan import trained_images
    numbers = [
        report.images.get(name)
        for name in ('labelled', 'unlabelled', 'source')
    ]
    if not any(found.path.endswith('.held_out') for found in report.errors):
        numbers[0] = trained_images(cfg, numbers[0])
    if not cfg.train_dataloader.dataset.get('unlabeled'):
        numbers[1] = 0
    return numbers


def _silence_builders() -> None:
    """What is logged when a model is built would hide the plan."""
    import logging
    import warnings

    from mmengine.logging import MMLogger
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    warnings.simplefilter('ignore')
