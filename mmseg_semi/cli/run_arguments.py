# Copyright (c) mmseg_semi authors.
"""Arguments of a training and of a test, shared with ``tools/*.py``."""
import argparse
import os

from .arguments import OptionsAction, positive

LOGS = ('tensorboard', 'wandb', 'mlflow')


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tools/train.py``."""
    parser.add_argument(
        'config', help='path of the config file, or mmseg_semi::NAME')
    _add_work_dir(parser, 'logs and checkpoints')
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='PATH|auto',
        help='go on from this checkpoint; without a path from the newest one '
        'in the work directory that is whole, or from the start if there is '
        'none')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='train in automatic mixed precision')
    parser.add_argument(
        '--accumulate',
        type=positive,
        metavar='K',
        help='make an iteration of K batches per GPU, each with 1/K of its '
        'images: the same training on GPUs with less memory')
    parser.add_argument(
        '--no-check',
        dest='check',
        action='store_false',
        help='do not look at the data before the first iteration')
    parser.add_argument(
        '--log',
        type=_logs,
        default=(),
        metavar='NAME,...',
        help=f'also send curves and pictures to {", ".join(LOGS)}')
    parser.add_argument(
        '--patience',
        type=positive,
        metavar='N',
        help='stop after N validations without a better mIoU')
    _add_launch(
        parser, 'train_cfg.max_iters=100 '
        'model.test_cfg.crop_size="(512,512)"')


def add_test_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``tools/test.py``."""
    parser.add_argument(
        'config',
        help='config file, mmseg_semi::NAME, or work directory of a training')
    parser.add_argument(
        'checkpoint',
        help='file or URL of the weights; of a work directory also last or '
        'best')
    _add_work_dir(parser, 'the log and the metrics')
    parser.add_argument(
        '--out', help='save the predicted masks into this directory')
    parser.add_argument(
        '--show', action='store_true', help='show predictions in a window')
    parser.add_argument(
        '--show-dir', help='save painted images into this directory')
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds for which each window stays (default: 2)')
    parser.add_argument(
        '--tta',
        action='store_true',
        help='test-time augmentation, as tta_pipeline of the config says')
    _add_launch(parser, 'model.test_cfg.mode=slide')


def train_settings(args: argparse.Namespace) -> dict:
    """Keyword arguments of :func:`mmseg_semi.apis.train_config`."""
    names = ('work_dir', 'resume', 'amp', 'accumulate', 'check', 'log',
             'patience', 'cfg_options', 'launcher')
    return _settings(args, names)


def test_settings(args: argparse.Namespace) -> dict:
    """Keyword arguments of :func:`mmseg_semi.apis.test_config`."""
    names = ('work_dir', 'out', 'show', 'show_dir', 'wait_time', 'tta',
             'cfg_options', 'launcher')
    return _settings(args, names)


def _settings(args: argparse.Namespace, names: tuple[str, ...]) -> dict:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return {name: getattr(args, name) for name in names}


def _logs(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(',')))
    for name in names:
        if name not in LOGS:
            raise argparse.ArgumentTypeError(
                f'{name!r} is none of {", ".join(LOGS)}')
    return names


def _add_work_dir(parser: argparse.ArgumentParser, content: str) -> None:
    parser.add_argument(
        '--work-dir',
        help=f'where {content} go (default: work_dir of the config, else '
        './work_dirs/<config name>)')


def _add_launch(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=OptionsAction,
        metavar='KEY=VALUE',
        help=f'override settings of the config, e.g. {example}')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started')
    # Old launchers pass the rank as an argument instead of a variable.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
