# Copyright (c) mmseg_semi authors.
"""A config file as a training or a test uses it."""
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import print_log

from ..engine.accumulation import LOOP, accumulate_batches
from ..engine.checkpoint import (check_checkpoint, check_resumable,
                                 find_resumable_checkpoint)
from ..engine.config_reading import check_options, read_config
from ..engine.trained_files import model_files

# Name for people (also that of the package) -> MMEngine's back end.
VIS_BACKENDS = dict(
    tensorboard='TensorboardVisBackend',
    wandb='WandbVisBackend',
    mlflow='MLflowVisBackend')


def train_config(config: str,
                 work_dir: str | None = None,
                 resume: str | None = None,
                 amp: bool = False,
                 accumulate: int | None = None,
                 check: bool = True,
                 log: Sequence[str] = (),
                 patience: int | None = None,
                 cfg_options: dict | None = None,
                 launcher: str = 'none') -> Config:
    """Read a config file for a training.

    Args:
        config (str): Path of the file, or ``mmseg_semi::folder/name.py``.
        work_dir (str, optional): Instead of the config's. Without either it
            is ``./work_dirs/<config name>``.
        resume (str, optional): Checkpoint to go on from, or ``'auto'``: the
            newest whole one in the work directory, if there is one. None
            keeps what the config says.
        amp (bool): Mixed precision. Defaults to False.
        accumulate (int, optional): Batches of an iteration.
        check (bool): Look at the data before the first iteration. Defaults to
            True.
        log (Sequence[str]): Keys of ``VIS_BACKENDS``, added to the others.
        patience (int, optional): Validations without a better mIoU after
            which to stop.
        cfg_options (dict, optional): Dotted key -> value, over the file's.
        launcher (str): How the processes were started. Defaults to 'none'.

    Returns:
        Config: For ``Runner.from_cfg``.

    Raises:
        FileNotFoundError: No such config, or no such checkpoint.
        CheckpointError: The checkpoint cannot be resumed.
        ModuleNotFoundError: The package of a ``log`` is not installed.
        ValueError: An argument that config or machine cannot serve.
    """
    cfg = _read(config, work_dir, cfg_options, launcher)
    if amp:
        enable_amp(cfg)
    if accumulate is not None:
        accumulate_batches(cfg, accumulate)
    if not check:
        leave_out_check(cfg)
    add_logs(cfg, log)
    if patience is not None:
        add_patience(cfg, patience)
    apply_resume(cfg, resume)
    return cfg


def test_config(config: str,
                checkpoint: str,
                work_dir: str | None = None,
                out: str | None = None,
                show: bool = False,
                show_dir: str | None = None,
                wait_time: float = 2,
                tta: bool = False,
                cfg_options: dict | None = None,
                launcher: str = 'none') -> Config:
    """Read a config file for a test.

    Args:
        config (str): As for :func:`train_config`, or the work directory of a
            training.
        checkpoint (str): Path or URL; of a work directory also ``last`` or
            ``best``.
        work_dir (str, optional): As for :func:`train_config`.
        out (str, optional): Folder for the predicted masks.
        show (bool): Show predictions in a window. Defaults to False.
        show_dir (str, optional): Folder for painted images.
        wait_time (float): Seconds that a window stays. Defaults to 2.
        tta (bool): Test-time augmentation. Defaults to False.
        cfg_options (dict, optional): Dotted key -> value, over the file's.
        launcher (str): How the processes were started. Defaults to 'none'.

    Returns:
        Config: For ``Runner.from_cfg``.

    Raises:
        FileNotFoundError: No such config, or no such checkpoint.
        CheckpointError: The checkpoint is not whole, or not safe.
        ValueError: The config lacks what ``show`` or ``tta`` need, or a
            checkpoint stands in its place.
    """
    config, checkpoint = model_files(config, checkpoint)
    cfg = _read(config, work_dir, cfg_options, launcher)
    if '://' not in checkpoint:
        check_checkpoint(checkpoint)
    cfg.load_from, cfg.resume = checkpoint, False
    if show or show_dir:
        enable_drawing(cfg, show, show_dir, wait_time)
    if tta:
        enable_tta(cfg, config)
    if out is not None:
        metrics = cfg.test_evaluator
        metrics = metrics if isinstance(metrics, list) else [metrics]
        for metric in metrics:
            metric.output_dir = out
    return cfg


def leave_out_check(cfg: Config) -> None:
    """Let the training start without a look at the data."""
    loop = cfg.train_cfg.get('type')
    if str(loop).rpartition('.')[2] == LOOP:  # no other one looks
        cfg.train_cfg.check_data = False


def enable_amp(cfg: Config) -> None:
    """Exchange the plain optimizer wrapper for the mixed precision one."""
    if get_device() in ('cpu', 'mps'):
        raise ValueError(
            '--amp needs a CUDA, NPU, MLU or MUSA device and PyTorch finds '
            'none here. Leave --amp out.')
    wrapper = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if wrapper == 'AmpOptimWrapper':
        return
    if wrapper != 'OptimWrapper':
        raise ValueError(
            '--amp replaces an optim_wrapper of type OptimWrapper, but the '
            f'config has {wrapper}. Set up mixed precision in the config.')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def apply_resume(cfg: Config, resume: str | None) -> None:
    """Decide which checkpoint to go on from.

    Args:
        cfg (Config): ``resume`` and ``load_from`` are set in place. Without
            the argument they keep what the config file says.
        resume (str, optional): Of :func:`train_config`.
    """
    if resume is None and cfg.get('resume') and cfg.get('load_from') is None:
        resume = 'auto'
    if resume is None:
        return
    if resume != 'auto':
        check_resumable(resume)
        cfg.load_from, cfg.resume = resume, True
        return
    newest = find_resumable_checkpoint(cfg.work_dir)
    cfg.resume = newest is not None
    if newest is None:
        print_log(
            f'--resume: there is no checkpoint in {cfg.work_dir}, training '
            'starts from the beginning.',
            logger='current')
    else:
        cfg.load_from = newest


def add_logs(cfg: Config, names: Sequence[str]) -> None:
    """Send curves and pictures to other programs, too.

    Args:
        cfg (Config): Its visualizer's back ends get more, in place; one that
            is there already stays as it is.
        names (Sequence[str]): Keys of ``VIS_BACKENDS``.

    Raises:
        ModuleNotFoundError: A package is not installed.
        ValueError: The config has no visualizer.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise ModuleNotFoundError(
                f'--log {name} needs the package {name}: pip install {name}')
    if names and not cfg.get('visualizer'):
        raise ValueError(
            '--log adds to vis_backends of the visualizer, but the config has '
            "none: visualizer=dict(type='SegLocalVisualizer', "
            "vis_backends=[dict(type='LocalVisBackend')]).")
    for name in names:
        backends = cfg.visualizer.setdefault('vis_backends', None) or []
        kinds = [backend['type'] for backend in backends]
        if VIS_BACKENDS[name] not in kinds:
            cfg.visualizer.vis_backends = [
                *backends, dict(type=VIS_BACKENDS[name])
            ]


def add_patience(cfg: Config, patience: int) -> None:
    """Stop when validation no longer gets better.

    Args:
        cfg (Config): Gets a :class:`.PatienceHook` in place; one that is
            there gets the new patience.
        patience (int): Validations without a better mIoU.
    """
    hooks = list(cfg.get('custom_hooks') or [])
    for hook in hooks:
        if hook['type'] in ('PatienceHook', 'EarlyStoppingHook'):
            hook['patience'] = patience
            return
    cfg.custom_hooks = [*hooks, dict(type='PatienceHook', patience=patience)]


def enable_drawing(cfg: Config, show: bool, show_dir: str | None,
                   wait_time: float) -> None:
    """Let the visualization hook draw every prediction."""
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise ValueError(
            '--show and --show-dir need '
            "default_hooks.visualization=dict(type='SegVisualizationHook') in "
            'the config.')
    hook.draw = True
    hook.interval = 1  # of all batches: it says 50 for a training
    if show:
        check_display()
        hook.show = True
        hook.wait_time = wait_time
    if str(hook.type).rpartition('.')[2] == 'SegVisualizationHook':
        hook.type = 'PictureHook'  # which writes the images' own names
        hook.out_dir = show_dir
    elif show_dir:
        cfg.visualizer.save_dir = show_dir


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


def _read(config: str, work_dir: str | None, cfg_options: dict | None,
          launcher: str) -> Config:
    """The config file with what training and test have in common."""
    if launcher == 'pytorch' and 'RANK' not in os.environ:
        raise ValueError(
            '--launcher pytorch is for processes that torchrun starts, and '
            'this one is not. Use tools/dist_train.sh (or dist_test.sh) '
            'CONFIG ... GPUS, or leave --launcher out for one process.')
    cfg = read_config(config)
    cfg.launcher = launcher
    if cfg_options is not None:
        check_options(cfg, cfg_options)
        cfg.merge_from_dict(cfg_options)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = f'./work_dirs/{Path(config).stem}'
    if Path(cfg.work_dir).is_file():
        raise ValueError(f'--work-dir: {cfg.work_dir} is a file. Name a '
                         'folder; it is made where it is missing.')
    return cfg
