# Copyright (c) mmseg_semi authors.
"""Say what a config is going to train, without training and without data.

    python tools/misc/explain_config.py CONFIG --gpus 8

Images per GPU and in all, iterations, epochs, stages, learning rates, losses,
evaluation and the lists with their published hashes.
"""
import argparse
import json
import warnings

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # isort: skip
from mmengine.config import Config, DictAction
from mmengine.logging import MMLogger

from mmseg_semi.engine.explain import explain
from mmseg_semi.engine.plan import plan_text
from mmseg_semi.engine.readable_errors import readable_errors


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Say what a config is going to train')
    parser.add_argument(
        'config', help='path of the config file, or mmseg_semi::NAME')
    parser.add_argument(
        '--gpus', type=int, default=1, help='number of processes (default: 1)')
    parser.add_argument(
        '--accumulate',
        type=int,
        metavar='K',
        help='batches per GPU that make an iteration (default: what the '
        'config says, 1)')
    parser.add_argument(
        '--json', action='store_true', help='print JSON instead of tables')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config')
    args = parser.parse_args(argv)
    if args.gpus < 1:
        parser.error(f'--gpus must be at least 1, got {args.gpus}')
    return args


def as_text(plan: dict) -> str:
    """The plan as a person reads it."""
    parts = [
        f'{plan["config"]} ({plan["framework"]}, {plan["config_hash"]})',
        plan_text(plan, plan['local_rules']), 'lists'
    ]
    for item in plan['lists']:
        known = item['count'] is not None
        facts = f'{item["count"]} images, SHA-256 {item["sha256"]}'
        parts.append(f'  {item["role"]:<10} {item["name"]}: ' +
                     (facts if known else 'not a published list'))
    parts.append(f'starts from  {", ".join(plan["weights"]) or "no weights"}')
    parts.append('stages (iterations; epochs)')
    for stage in plan['stages']:
        epochs = stage['epochs']
        name = ': '.join(filter(None, (stage['term'], stage['stage'])))
        parts.append(f'  {name:<28} {stage["begin"]:>7,} to '
                     f'{stage["end"]:>7,}' +
                     (f'; {epochs[0]:g} to {epochs[1]:g}' if epochs else ''))
    parts.append(f'optimizer  {_options(plan["optimizer"])}')
    for group in plan['lr']:
        group = dict(group)
        modules = ', '.join(group.pop('modules'))
        parts.append(f'  {group.pop("parameters"):>12,} parameters: '
                     f'{_options(group)} ({modules})')
    for name, key in (('schedule', 'schedule'), ('losses', 'losses')):
        parts.append(name)
        parts += [f'  {_options(item)}' for item in plan[key]]
    parts.append('evaluation')
    parts += [f'  {k}: {v}' for k, v in plan['evaluation'].items() if v]
    return '\n'.join(parts)


def _options(options: dict) -> str:
    return ', '.join(f'{key}={value}' for key, value in options.items())


def main(argv=None) -> None:
    with readable_errors(__name__):
        args = parse_args(argv)
        # What others say when a model is built would hide the plan.
        MMLogger.get_instance('mmengine', log_level='ERROR')
        warnings.simplefilter('ignore')
        cfg = Config.fromfile(mmseg_semi.find_config(args.config))
        if args.cfg_options is not None:
            cfg.merge_from_dict(args.cfg_options)
        plan = explain(cfg, args.gpus, args.accumulate)
        if args.json:
            print(json.dumps(plan, indent=2, default=str))
        else:
            print(as_text(plan))


if __name__ == '__main__':
    main()
