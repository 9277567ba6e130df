# Copyright (c) mmseg_semi authors.
"""A few training steps of a config that leave nothing behind."""
import copy
import os
import sys
import tempfile
import time
import traceback
import uuid
import warnings
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings
from mmseg.registry import RUNNERS

from ..models.segmentors.wrapped import drop_pretrained
from .readable_errors import is_readable
from .step_benchmark import find_stages
from .unwrap import unwrap

_GIB = 2**30
_KEPT_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'param_scheduler')


def dry_steps(cfg: Config) -> dict:
    """Seconds and memory of a training's steps, from a process of its own.

    One step of every stage of the training, and one more of the last stage,
    whose time counts, loading of the images included. The network starts from
    random weights; nothing is downloaded, validated, logged or saved.

    Args:
        cfg (Config): A training config. It is not changed.

    Returns:
        dict: ``seconds`` of an iteration, ``steps`` that were taken,
        ``device``, ``memory`` (bytes at the peak: allocated on the GPU, of
        the whole process on the CPU) and ``total_memory`` (bytes of the GPU;
        None on the CPU). After a failure ``error``, a message, and
        ``traceback``, empty if the message says all.
    """
    context = get_context('spawn')
    with tempfile.TemporaryDirectory() as folder:
        quiet = _quiet_config(cfg, folder)
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            try:
                return pool.submit(_in_child, quiet, folder).result()
            except BrokenProcessPool:
                return dict(
                    error='Its process ended without an answer. Unless it '
                    'says above why, the system killed it, as it does where '
                    'memory runs out: use fewer images of an iteration, '
                    'train_cfg.accumulate, or smaller crops.',
                    traceback='')


def steps_text(step: dict, iterations: int | None) -> str:
    """Memory and time as a person reads them.

    Args:
        step (dict): Of :func:`dry_steps`, without an error.
        iterations (int, optional): Of the training, if it counts them.
    """
    of_all = (f' of {step["total_memory"] / _GIB:.1f} GiB'
              if step['total_memory'] else '')
    memory = ('unknown' if step['memory'] is None else
              f'{step["memory"] / _GIB:.1f} GiB{of_all}')
    lines = [
        f'Steps on {step["device"]} ({step["steps"]} were taken, with random '
        'weights)', f'  memory at the peak       {memory}',
        f'  seconds of an iteration  {step["seconds"]:.2f}'
    ]
    if iterations:
        whole = timedelta(seconds=round(step['seconds'] * iterations))
        lines.append(f'  {iterations:,} iterations take about {whole} '
                     '(h:mm:ss), without validation')
    return '\n'.join(lines)


def _quiet_config(cfg: Config, folder: str) -> Config:
    """The same training, without a trace of it."""
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = folder
    cfg.experiment_name = uuid.uuid4().hex
    cfg.launcher, cfg.log_level = 'none', 'ERROR'
    cfg.resume, cfg.load_from = False, None
    for part in ('dataloader', 'cfg', 'evaluator'):
        for loop in ('val', 'test'):
            cfg[f'{loop}_{part}'] = None
    hooks = cfg.get('default_hooks') or {}
    cfg.default_hooks = dict(
        {name: hooks[name]
         for name in _KEPT_HOOKS if name in hooks},
        logger=None,
        checkpoint=None)
    cfg.custom_hooks = []  # the loop adds those that the model needs
    cfg.visualizer = dict(type='SegLocalVisualizer', vis_backends=None)
    if 'segmentor' in cfg.model:
        cfg.model.pretrained = False
    else:
        drop_pretrained(cfg.model)
    if str(cfg.train_cfg.get('type')).endswith('SemiIterBasedTrainLoop'):
        cfg.train_cfg.check_data = False
    return cfg


def _in_child(cfg: Config, folder: str) -> dict:
    """Take the steps; whatever is printed goes to a file."""
    log = os.open(Path(folder, 'output.txt'), os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    warnings.simplefilter('ignore')
    try:
        return _measure(cfg)
    except torch.cuda.OutOfMemoryError as error:
        return dict(
            error='The training does not fit into the memory of the GPU '
            f'({str(error).split(". ")[0]}). Use fewer images of an '
            'iteration, train_cfg.accumulate, or smaller crops.',
            traceback='')
    except Exception as error:  # the parent tells it
        text = '' if is_readable(error) else traceback.format_exc()
        return dict(error=str(error) or repr(error), traceback=text)


def _measure(cfg: Config) -> dict:
    if 'custom_imports' in cfg:
        import_modules_from_strings(**cfg.custom_imports)
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(
        cfg)
    hook = _Stages()
    runner.register_hook(hook, priority='LOWEST')
    with suppress(_Enough):
        runner.train()
    device = get_device()
    if device.startswith('cuda'):
        name = torch.cuda.get_device_name()
        memory = torch.cuda.max_memory_allocated()
        total = torch.cuda.mem_get_info()[1]
    else:
        name, total = device.upper(), None
        memory = _peak_of_process()
    return dict(
        seconds=hook.seconds[-1],
        steps=len(hook.seconds),
        device=name,
        memory=memory,
        total_memory=total)


def _peak_of_process() -> int | None:
    """Bytes, where the system counts them."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class _Enough(Exception):
    """All steps were taken; loops of epochs would go on to their end."""


class _Stages(Hook):
    """Go through the stages, then stop.

    Attributes:
        seconds (list[float]): Of every step, from the end of the one before.
    """

    def __init__(self) -> None:
        self.seconds = []

    def before_train(self, runner) -> None:
        model = unwrap(runner.model)
        starts = [0]
        if hasattr(model, 'terms') and hasattr(model, 'burn_in'):
            starts = sorted(find_stages(model).values())
        self.starts = [*starts, starts[-1]]
        self.last = time.perf_counter()

    def before_train_iter(self, runner, *args, **kwargs) -> None:
        model = unwrap(runner.model)
        if hasattr(model, 'iteration'):
            model.iteration = self.starts[len(self.seconds)]

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now
        if len(self.seconds) == len(self.starts):
            raise _Enough
