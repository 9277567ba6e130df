# Copyright (c) mmseg_semi authors.
"""Run the command-line tools on tiny configs, in processes of their own.

The processes are forked from one that has imported torch, MMEngine and
nothing of ours (a "fork server"), so that each costs a second or two.
"""
import faulthandler
import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import mmengine.config.config
import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

STOCK = Path(find_spec('mmseg').origin).parent / '.mim/tools'
ROOT = Path(__file__).resolve().parents[2]
# Nothing of ours, and nothing that an import of ours should bring.
PRELOAD = [
    'torch', 'torch._dynamo', 'mmengine.runner', 'mmcv', 'matplotlib.pyplot',
    'scipy.ndimage'
]
MAX_ITERS = 14

_LEAF = '''
_base_ = {base!r}
train_cfg = dict(max_iters={max_iters}, val_interval=6)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=3, max_keep_ckpts=-1))
model = {model!r}
root = {root!r}
train_dataloader = dict(
    batch_size=2 * {images},
    num_workers={workers},
    sampler=dict(counts=({images}, {images})),
    batch_sampler=dict(type='SemiBatchSampler'),
    dataset=dict(
        labeled=dict(data_root=root, ann_file='ImageSets/Semi/digits-40.txt'),
        unlabeled=dict(data_root=root)))
val_dataloader = dict(batch_size=4, dataset=dict(data_root=root))
test_dataloader = val_dataloader
'''

# What a few steps of an untrained network can go through: every threshold is
# near 1/11, the score of a class by chance.
MODELS = {
    # The tenth step makes the prototypes.
    'brpg':
    dict(
        burn_in=2,
        terms=dict(
            brpg=dict(
                window=(4, 9),
                capacity=60,
                samples_per_image=64,
                threshold=0.12,
                cells=8,
                draws_per_image=32,
                confidence=(0.05, 0.1)))),
    # The eighth step makes the prototypes.
    'pcr':
    dict(
        burn_in=4,
        terms=dict(
            consistency=dict(threshold=0.12),
            pcr=dict(window=(2, 7), capacity=60, threshold=0.12, cells=8))),
    # The fifth step has unlabelled images first.
    'rc2l':
    dict(burn_in=4),
    'pps':
    dict(burn_in=4),
    'cps':
    dict(burn_in=4),
    # The bank is filled from the third step on, the eighth reads it first.
    'cmb':
    dict(
        mixing=dict(begin=7),
        terms=dict(
            class_balance=dict(
                _delete_=True, type='ClassBalance', windows=(4, 5), begin=7),
            consistency=dict(ramp=dict(length=7)),
            cmb=dict(
                memory_start=2,
                contrast_start=7,
                threshold=0.09,
                capacity=16,
                rows_per_image=2))),
}


def write_config(path,
                 root,
                 method='brpg',
                 workers=0,
                 extra='',
                 max_iters=MAX_ITERS,
                 model=None,
                 images=2):
    """Write a reduced digits config that finishes in seconds.

    Args:
        path (Path): The file to write.
        root (str): A DigitScenes tree with a list of 40 labelled images.
        method (str): Whose config to reduce.
        workers (int): Loader workers.
        extra (str): More lines of config.
        max_iters (int): Length of the training.
        model (dict, optional): Merged over the method's ``MODELS``.
        images (int): Labelled, and as many unlabelled, of an iteration.

    Returns:
        str: The path.
    """
    merged = Config(dict(model=MODELS[method]))
    merged.merge_from_dict(dict(model=model or {}))
    text = _LEAF.format(
        base=str(ROOT / f'configs/{method}/{method}_r18_digits_50.py'),
        model=merged.model.to_dict(),
        root=str(root),
        workers=workers,
        images=images,
        max_iters=max_iters)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + extra)
    return str(path)


@HOOKS.register_module()
class KillAt(Hook):
    """Send SIGKILL to the process at a stage of an iteration.

    Args:
        stage (str): A hook stage, or ``write``: when the next file of a
            checkpoint is complete on disk, but has not got its name.
        iteration (int): Training iterations done at that time.
    """

    def __init__(self, stage, iteration):
        self.iteration = iteration
        self.priority = 'VERY_LOW' if stage == 'write' else 'VERY_HIGH'
        self.stage = 'before_train_iter' if stage == 'write' else stage
        self.writing = stage == 'write'
        setattr(self, self.stage, self._maybe_kill)

    def get_triggered_stages(self):
        return [self.stage]

    def _maybe_kill(self, runner, *args, **kwargs):
        if runner.iter < self.iteration:
            return
        if self.writing:
            os.fsync = kill_me
        else:
            kill_me()


@HOOKS.register_module()
class DumpRanks(Hook):
    """Save what all processes should share, per process.

    That is everything but the statistics of BatchNorm: weights, banks,
    prototypes, class statistics, counters.

    Args:
        iterations (Sequence[int]): When.
    """

    def __init__(self, iterations):
        self.iterations = iterations

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 in self.iterations:
            shared = {
                name: value
                for name, value in runner.model.module.state_dict().items()
                if not name.endswith(('running_mean', 'running_var'))
            }
            name = f'rank{get_rank()}_{runner.iter + 1}.pt'
            torch.save(shared, Path(runner.work_dir, name))


@HOOKS.register_module()
class DumpImages(Hook):
    """Save what each iteration read, per process.

    That is for every branch the files and a sum of each image's pixels, which
    tells the augmentation.
    """

    def __init__(self):
        self.read = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        images, samples = data_batch['inputs'], data_batch['data_samples']
        self.read.append(
            sorted((branch, Path(sample.img_path).name, int(image.sum()))
                   for branch in samples
                   for image, sample in zip(images[branch], samples[branch])
                   if sample is not None))

    def after_train(self, runner):
        path = Path(runner.work_dir, f'images{get_rank()}.json')
        path.write_text(json.dumps(self.read))


def kill_me(*args):
    os.kill(os.getpid(), signal.SIGKILL)


def add_hook(**hook):
    """Lines of config that add a hook of this module."""
    return (f'\ncustom_hooks = [*_base_.custom_hooks, {hook!r}]\n'
            f'custom_imports = dict(imports=["mmseg_semi", {__name__!r}])\n')


def kill_at(stage, iteration):
    """Lines of config that have the run killed."""
    return add_hook(type='KillAt', stage=stage, iteration=iteration)


@dataclass
class Finished:
    """A process that ended."""
    code: int
    output: str


def run_tool(tool, *arguments, **kwargs):
    """Run ``python TOOL ARGUMENTS`` and wait; see :func:`run_tools`."""
    return run_tools([tool, *arguments], **kwargs)


def run_tools(*commands, log, cwd=ROOT, timeout=300):
    """Run scripts one after the other in one process, and wait.

    Args:
        *commands (Sequence[str]): Each a script and its arguments.
        log (Path): File that receives stdout and stderr.
        cwd (Path): Where to run it.
        timeout (float): Seconds.

    Returns:
        Finished: Exit code (negative: the signal) and output.
    """
    return _finish([_start(commands, log, cwd)], [log], timeout)


def run_ranks(*command, log, ranks=2, timeout=300):
    """Run ``python TOOL ARGUMENTS --launcher pytorch`` in a gloo group.

    Args:
        *command (str): Script and arguments.
        log (Path): As for :func:`run_tools`; the rank is appended.
        ranks (int): Number of processes.
        timeout (float): Seconds.

    Returns:
        Finished: Sum of the exit codes' magnitudes, all outputs.
    """
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    processes, logs = [], []
    for rank in range(ranks):
        env = dict(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(ranks),
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=port)
        logs.append(Path(f'{log}.{rank}'))
        processes.append(
            _start([[*command, '--launcher', 'pytorch']], logs[-1], ROOT, env))
    return _finish(processes, logs, timeout)


def _start(commands, log, cwd, env=None):
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(PRELOAD)
    commands = [[str(part) for part in command] for command in commands]
    process = context.Process(
        target=_run, args=(commands, str(log), str(cwd), env or {}))
    process.start()
    return process


def _finish(processes, logs, timeout):
    end = time.monotonic() + timeout
    try:
        for process in processes:
            process.join(max(0, end - time.monotonic()))
        late = any(process.is_alive() for process in processes)
    finally:
        for process in processes:
            process.kill()
            process.join()
    output = '\n'.join(Path(log).read_text() for log in logs)
    if late:
        raise TimeoutError(f'not finished after {timeout} s:\n{output}')
    codes = [process.exitcode for process in processes]
    return Finished(codes[0] if len(codes) == 1 else sum(map(abs, codes)),
                    output)


def _run(commands, log, cwd, env):
    """In the new process: become the scripts."""
    assert 'mmseg_semi' not in sys.modules, 'a stock tool imports it first'
    # Beautifying the config takes longer than a dozen iterations.
    mmengine.config.config.FormatCode = lambda text, **kwargs: (text, True)
    with open(log, 'w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable()
    os.environ.update(env)
    os.chdir(cwd)
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    try:
        for command in commands:
            sys.argv = command
            sys.path[0] = os.path.dirname(command[0])
            runpy.run_path(command[0], run_name='__main__')
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
