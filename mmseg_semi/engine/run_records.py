# Copyright (c) mmseg_semi authors.
"""Records of finished trainings: one JSON object per line of a text file."""
import hashlib
import json
import os
import platform
import subprocess
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import torch
from mmengine.config import Config

from ..version import __version__
from .atomic import write_atomically

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None

# Settings that say where and how fast, but not what is computed.
_IRRELEVANT = {
    'accumulate', 'data_root', 'num_workers', 'persistent_workers',
    'pin_memory', 'prefetch_factor', 'val_interval', 'val_begin',
    'dynamic_intervals'
}
_ROOT = Path(__file__).resolve().parents[2]


def config_hash(cfg: Config) -> str:
    """Short hash of everything in a config that decides the result.

    That is model, training data and its transforms, optimizer, schedule and
    length, and the images that are evaluated. The seed is not part of it,
    nor are paths, workers, how often is validated and how many batches make
    an iteration. The images of an iteration count in all.

    Args:
        cfg (Config): A resolved config.

    Returns:
        str: 12 hexadecimal digits.
    """
    parts = {
        name: cfg.get(name)
        for name in ('model', 'train_dataloader', 'optim_wrapper',
                     'param_scheduler', 'train_cfg')
    }
    parts['val_dataset'] = (cfg.get('val_dataloader') or {}).get('dataset')
    text = json.dumps(_relevant(parts), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _relevant(value):
    if isinstance(value, dict):
        return {
            str(key): _relevant(entry)
            for key, entry in value.items() if key not in _IRRELEVANT
        }
    if isinstance(value, (list, tuple)):
        return [_relevant(entry) for entry in value]
    return value


def source_commit() -> str | None:
    """Commit of the checkout this package is imported from.

    Returns:
        str or None: 12 digits, with ``-dirty`` if code or configs differ
        from it; None where the package is installed without its checkout.
    """

    def git(*arguments):
        return subprocess.run(['git', *arguments],
                              cwd=_ROOT,
                              capture_output=True,
                              text=True,
                              timeout=30,
                              check=True).stdout.strip()

    try:
        # An environment inside another project's checkout is not ours.
        if Path(git('rev-parse', '--show-toplevel')).resolve() != _ROOT:
            return None
        commit = git('rev-parse', '--short=12', 'HEAD')
        changed = git('status', '--porcelain', '--', 'mmseg_semi', 'configs',
                      'tools')
    except (OSError, subprocess.SubprocessError):
        return None
    return f'{commit}-dirty' if changed else commit


def versions() -> dict:
    """Versions of Python, this package and what it computes with."""
    found = dict(python=platform.python_version(), mmseg_semi=__version__)
    for name in ('torch', 'mmengine', 'mmcv', 'mmseg', 'numpy'):
        found[name] = import_module(name).__version__
    return found


def host() -> dict:
    """What the training ran on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return dict(
        machine=platform.machine(),
        gpu=gpu,
        cores=os.cpu_count(),
        threads=torch.get_num_threads())


def read_records(path: str | Path) -> list[dict]:
    """Read a file of records.

    Args:
        path (str | Path): The file; a missing one is empty.

    Returns:
        list[dict]: The records, oldest first.

    Raises:
        ValueError: If a line is no JSON object; names the line.
    """
    path, records = Path(path), []
    lines = path.read_text('utf-8').splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            record['run']
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f'{path}, line {number} is no record of a run ({error!r}). '
                'Remove the line, or restore the file with git.') from error
        records.append(record)
    return records


def append_record(path: str | Path, record: dict) -> bool:
    """Add a record, unless the file has that run already.

    Several processes may do it at the same time, and a crash leaves the file
    as it was or complete.

    Args:
        path (str | Path): The file; made where missing.
        record (dict): With the key ``run``, the identity of the run.

    Returns:
        bool: Whether it was added.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        records = read_records(path)
        if any(other['run'] == record['run'] for other in records):
            return False
        before = path.read_bytes() if path.is_file() else b''
        if before and not before.endswith(b'\n'):
            before += b'\n'
        line = json.dumps(record, allow_nan=False) + '\n'
        write_atomically(before + line.encode(), path)
    return True


@contextmanager
def _locked(folder: Path):
    """Exclusive use of a folder among processes that ask for it."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
