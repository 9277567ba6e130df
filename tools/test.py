# Copyright (c) mmseg_semi authors.
"""Evaluate a checkpoint. Same arguments as MMSegmentation's ``test.py``."""
import argparse
import os
import os.path as osp
import sys

# First: it lets mmseg import where mmcv has no compiled operators.
import mmseg_semi  # isort: skip
from mmengine.config import Config, DictAction
from mmengine.runner import Runner

from mmseg_semi.engine.checkpoint import check_checkpoint
from mmseg_semi.engine.readable_errors import readable_errors


def parse_args(argv=None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Evaluate a segmentor')
    parser.add_argument(
        'config', help='path of the config file, or mmseg_semi::NAME')
    parser.add_argument('checkpoint', help='path or URL of the checkpoint')
    parser.add_argument(
        '--work-dir',
        help='where the log and the metrics go (default: work_dir of the '
        'config, else ./work_dirs/<config name>)')
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
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config, e.g. model.test_cfg.mode=slide')
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes were started')
    # Old launchers pass the rank as an argument instead of a variable.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    args = parser.parse_args(argv)
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    return args


def load_config(args: argparse.Namespace) -> Config:
    """Read the config file and apply the arguments to it."""
    cfg = Config.fromfile(mmseg_semi.find_config(args.config))
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        name = osp.splitext(osp.basename(args.config))[0]
        cfg.work_dir = osp.join('./work_dirs', name)
    if '://' not in args.checkpoint:
        check_checkpoint(args.checkpoint)
    cfg.load_from, cfg.resume = args.checkpoint, False
    if args.show or args.show_dir:
        enable_drawing(cfg, args)
    if args.tta:
        enable_tta(cfg, args.config)
    if args.out is not None:
        metrics = cfg.test_evaluator
        metrics = metrics if isinstance(metrics, list) else [metrics]
        for metric in metrics:
            metric.output_dir = args.out
    return cfg


def enable_drawing(cfg: Config, args: argparse.Namespace) -> None:
    """Let the visualization hook draw every prediction."""
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise ValueError(
            '--show and --show-dir need '
            "default_hooks.visualization=dict(type='SegVisualizationHook') in "
            'the config.')
    hook.draw = True
    hook.interval = 1  # of all batches: it says 50 for a training
    if args.show:
        check_display()
        hook.show = True
        hook.wait_time = args.wait_time
    if args.show_dir:
        cfg.visualizer.save_dir = args.show_dir


def check_display() -> None:
    """Refuse to show pictures where nobody would see them."""
    if sys.platform.startswith('linux') and not (
            os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        raise ValueError('--show: there is no display here (neither DISPLAY '
                         'nor WAYLAND_DISPLAY is set). Use --show-dir FOLDER '
                         'to write the pictures.')


def enable_tta(cfg: Config, path: str) -> None:
    """Wrap the model and exchange the test pipeline."""
    absent = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
    if absent:
        raise ValueError(f'--tta needs {" and ".join(absent)} in {path}.')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.tta_model.module = cfg.model
    cfg.model = cfg.tta_model


def main(argv=None) -> None:
    with readable_errors(__name__):
        Runner.from_cfg(load_config(parse_args(argv))).test()


if __name__ == '__main__':
    main()
