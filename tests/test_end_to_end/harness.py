# Copyright (c) mmseg_semi authors.
"""Run the command-line tools on tiny configs, in processes of their own.

The processes are forked from one that has imported torch, MMEngine and
nothing of ours (a "fork server"), so that each costs a second or two.
"""
import faulthandler
import multiprocessing
import os
import runpy
import signal
import sys
import traceback
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

STOCK = Path(find_spec('mmseg').origin).parent / '.mim/tools'
ROOT = Path(__file__).resolve().parents[2]
BRPG_DIGITS = 'configs/brpg/brpg_r18_digits_50.py'
MAX_ITERS = 14
BURN_IN, WINDOW = 2, (4, 9)  # the tenth step makes the prototypes

_LEAF = '''
_base_ = {base!r}
train_cfg = dict(max_iters={max_iters}, val_interval=6)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(interval=3, max_keep_ckpts=-1))
model = dict(
    burn_in={burn_in},
    terms=dict(
        brpg=dict(
            window={window},
            capacity=60,
            samples_per_image=64,
            threshold=0.12,
            cells=8,
            draws_per_image=32,
            confidence=(0.05, 0.1))))
root = {root!r}
train_dataloader = dict(
    batch_size=4,
    num_workers={workers},
    sampler=dict(counts=(2, 2)),
    dataset=dict(
        labeled=dict(data_root=root, ann_file='ImageSets/Semi/digits-40.txt'),
        unlabeled=dict(data_root=root)))
val_dataloader = dict(batch_size=4, dataset=dict(data_root=root))
test_dataloader = val_dataloader
'''


def write_config(path, root, base=BRPG_DIGITS, workers=0, extra='', **values):
    """Write a reduced digits config that finishes in seconds.

    Args:
        path (Path): The file to write.
        root (str): A DigitScenes tree with a list of 40 labelled images.
        base (str): The shipped config to reduce.
        workers (int): Loader workers.
        extra (str): More lines of config.
        **values: Of ``max_iters``, ``burn_in``, ``window``.

    Returns:
        str: The path.
    """
    values = {
        'max_iters': MAX_ITERS,
        'burn_in': BURN_IN,
        'window': WINDOW,
        **values
    }
    text = _LEAF.format(
        base=str(ROOT / base), root=str(root), workers=workers, **values)
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

    Args:
        iterations (Sequence[int]): When.
    """

    def __init__(self, iterations):
        self.iterations = iterations

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 in self.iterations:
            state = runner.model.module.state_dict()
            shared = {
                name: value
                for name, value in state.items()
                if 'banks' in name or 'prototype' in name
            }
            name = f'rank{get_rank()}_{runner.iter + 1}.pt'
            torch.save(shared, Path(runner.work_dir, name))


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


def run_tool(tool, *arguments, log, cwd=ROOT, timeout=300):
    """Run ``python TOOL ARGUMENTS`` and wait.

    Args:
        tool (str | Path): The script.
        *arguments (str): Its arguments.
        log (Path): File that receives stdout and stderr.
        cwd (Path): Where to run it.
        timeout (float): Seconds.

    Returns:
        Finished: Exit code (negative: the signal) and output.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(['torch', 'mmengine.runner', 'mmcv'])
    process = context.Process(
        target=_run,
        args=(str(tool), [str(a) for a in arguments], str(log), str(cwd)))
    process.start()
    process.join(timeout)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f'{tool} took over {timeout} s:\n' +
                           Path(log).read_text())
    return Finished(process.exitcode, Path(log).read_text())


def _run(tool, arguments, log, cwd):
    """In the new process: become the script."""
    assert 'mmseg_semi' not in sys.modules, 'a stock tool imports it first'
    with open(log, 'w') as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable()
    os.chdir(cwd)
    sys.argv = [tool, *arguments]
    sys.path[0] = os.path.dirname(tool)
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
    try:
        runpy.run_path(tool, run_name='__main__')
    except SystemExit:
        raise
    except BaseException:
        traceback.print_exc()
        raise SystemExit(1)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
