# Copyright (c) mmseg_semi authors.
"""The weights that the decoder of a config starts from.

    initial_weights.py CONFIG

builds the model, draws its weights and prints for every convolution and
linear layer outside the backbone the shape, the measured standard deviation,
that of the law its head names (``init``), and their ratio, which is 1 but for
chance. ``--law`` compares all layers with another law:

    initial_weights.py configs/brpg/brpg_r101_voc_366.py --law torch \
        --cfg-options model.segmentor.decode_head.init=kaiming_fan_out

Pretrained weights of the backbone are neither needed nor read.
"""
import argparse
import json

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # isort: skip
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from rich.table import Table

from mmseg_semi.analysis import (InitialWeights, find_network,
                                 measure_initial_weights)
from mmseg_semi.benchmarking import make_console
from mmseg_semi.cli.arguments import OptionsAction
from mmseg_semi.engine.readable_errors import readable_errors
from mmseg_semi.models.decode_heads.initial_weights import INITS


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description='Initial weights of a decoder against their law')
    parser.add_argument('config', help='path of the config file')
    parser.add_argument(
        '--law',
        choices=INITS,
        help='compare with this law (default: what each head names)')
    parser.add_argument(
        '--network',
        help='student, teacher, ... (default: the one that predicts)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--json', action='store_true', help='print JSON instead of a table')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help='override settings of the config')
    return parser.parse_args(argv)


def measure(args: argparse.Namespace) -> list[InitialWeights]:
    cfg = Config.fromfile(mmseg_semi.find_config(args.config))
    cfg.merge_from_dict(args.cfg_options or {})
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    torch.manual_seed(args.seed)
    model = MODELS.build(cfg.model)
    for name, module in model.named_modules():
        if name.split('.')[-1] == 'backbone':
            module.init_cfg = None
    model.init_weights()
    _, net = find_network(model, args.network)
    return measure_initial_weights(net, args.law)


def table(rows: list[InitialWeights]) -> Table:
    found = Table()
    found.add_column('parameter', overflow='fold')
    for name in ('shape', 'law', 'std', 'std by the law', 'ratio'):
        found.add_column(name, justify='right')
    for row in rows:
        shape = ' x '.join(map(str, row.shape))
        numbers = ('-' if value is None else f'{value:.4g}'
                   for value in (row.std, row.law_std, row.ratio))
        found.add_row(row.name, shape, row.law or '-', *numbers)
    return found


def main(argv=None) -> list[InitialWeights]:
    args = parse_args(argv)
    MMLogger.get_instance('mmengine', log_level='ERROR')
    with readable_errors(__name__):
        rows = measure(args)
    if args.json:
        print(json.dumps([row.entry() for row in rows], indent=2))
    else:
        make_console().print(table(rows))
    return rows


if __name__ == '__main__':
    main()
