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
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmseg_semi.cli.arguments import OptionsAction
from mmseg_semi.engine.explain import explain
from mmseg_semi.engine.explain_text import explain_text
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
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config')
    args = parser.parse_args(argv)
    if args.gpus < 1:
        parser.error(f'--gpus must be at least 1, got {args.gpus}')
    return args


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
            print(explain_text(plan))


if __name__ == '__main__':
    main()
