# Copyright (c) mmseg_semi authors.
"""Finding, checking and converting checkpoint files."""
import io
import logging
import pickle
import re
import zipfile
from pathlib import Path

import torch
import torch.nn as nn
from mmengine.logging import print_log

from ..datasets.paths import nearest
from .atomic import write_atomically
from .plain import to_plain

_CONVERT = ('python -c "from mmseg_semi.engine import convert_checkpoint as '
            'c; c({source!r}, {target!r})"')


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be used; the message says why."""


class UnsafeCheckpointError(CheckpointError):
    """A complete checkpoint that only unsafe unpickling could read."""


def check_checkpoint(path: str) -> dict:
    """Make sure that a local checkpoint file is whole and loads safely.

    A zip archive (what ``torch.save`` writes) is compared with its checksums,
    because ``torch.load`` itself does not notice changed bytes. Weights are
    mapped, not read into memory.

    Args:
        path (str): Local path.

    Returns:
        dict: The content, tensors on the CPU and backed by the file.

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If the file contains pickled objects, as the
            files of mmengine's own ``CheckpointHook`` do.
        CheckpointError: If the file is truncated, corrupt or not a
            checkpoint.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        where = f'{path} is a folder: give a file in it.' if path.is_dir() \
            else nearest(str(path))
        raise FileNotFoundError(
            f'There is no checkpoint {path}. {where} (In a training the path '
            'is load_from or --resume.)')
    try:
        is_zip = zipfile.is_zipfile(path)
        damaged = _first_damaged_member(path) if is_zip else None
        if damaged is not None:
            raise _corrupt(path, f'the checksum of {damaged} is wrong')
        content = torch.load(
            str(path), map_location='cpu', weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        # Bytes that are no pickle at all raise the same class.
        if is_zip or _is_pickle(path):
            raise _unsafe(path, error) from error
        # Not torch's reason, which advises to switch safe loading off.
        raise _corrupt(path, 'neither zip archive nor pickle') from error
    except (EOFError, OSError, RuntimeError, ValueError, KeyError,
            zipfile.BadZipFile) as error:
        if isinstance(error, CheckpointError):
            raise
        raise _corrupt(path, error) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f'{path} holds a {type(content).__name__}, not a dictionary with '
            'a state_dict: it is not a checkpoint.')
    return content


def check_resumable(path: str) -> None:
    """Make sure that a file is whole, safe, and more than weights.

    Args:
        path (str): Local path.

    Raises:
        FileNotFoundError: As :func:`check_checkpoint`.
        CheckpointError: As :func:`check_checkpoint`, and if the file has no
            optimizer state.
    """
    if 'optimizer' not in check_checkpoint(path):
        raise CheckpointError(
            f'{path} has no optimizer state: training cannot be resumed from '
            'it. To start from its weights, give it as load_from and leave '
            'out --resume.')


def check_weights_fit(path: str, state_dict: dict, model: nn.Module) -> None:
    """Make sure that a checkpoint is not one of something else.

    Args:
        path (str): Where it came from, for the message.
        state_dict (dict): Its weights.
        model (nn.Module): The unwrapped model. A checkpoint of one of its
            networks (``backbone.*`` for ``student.backbone.*``) fits too.

    Raises:
        CheckpointError: If no name is known to the model.
    """
    known = set(model.state_dict())
    known |= {name.split('.', 1)[-1] for name in known}
    names = [name.removeprefix('module.') for name in state_dict]
    if known.isdisjoint(names):
        raise CheckpointError(
            f'{path} fits neither {type(model).__name__} nor what it wraps: '
            f'none of its {len(names)} names is known (first: '
            f'{", ".join(names[:3])}). Give a checkpoint of this config or of '
            'the wrapped segmentor.')


def find_resumable_checkpoint(work_dir: str) -> str | None:
    """Find the newest checkpoint in ``work_dir`` from which to resume.

    First the file that ``last_checkpoint`` names, then the other ``iter_*``
    and ``epoch_*`` files from the newest to the oldest. Files that are
    truncated, corrupt or without optimizer state are passed over with a
    warning.

    Args:
        work_dir (str): The run's work directory.

    Returns:
        str or None: The path, or None if there is no checkpoint at all.

    Raises:
        UnsafeCheckpointError: If the newest whole file is one of mmengine's
            own. It is not passed over: it may be far ahead.
        CheckpointError: If there are checkpoints, but none can be used.
    """
    rejected = []
    for path in _candidates(Path(work_dir)):
        try:
            check_resumable(path)
        except UnsafeCheckpointError:
            raise
        except (CheckpointError, FileNotFoundError) as error:
            rejected.append(str(error))
            print_log(
                f'CANNOT RESUME FROM THE NEWEST CHECKPOINT: {error} Trying '
                'the one before it.',
                logger='current',
                level=logging.WARNING)
            continue
        if rejected:
            print_log(
                f'RESUMING FROM AN OLDER CHECKPOINT: {path}',
                logger='current',
                level=logging.WARNING)
        return str(path)
    if rejected:
        raise CheckpointError(
            f'No checkpoint in {work_dir} can be resumed:\n  ' +
            '\n  '.join(rejected) + '\nRemove these files, or choose another '
            '--work-dir, to start from scratch.')
    return None


def convert_checkpoint(source: str, target: str) -> None:
    """Rewrite a trusted checkpoint so that it loads safely.

    Warning:
        ``source`` is unpickled, which can run any code that its author put
        in. Use it only for files whose origin you trust.

    Args:
        source (str): Local path of the foreign checkpoint.
        target (str): Where to write. May be equal to ``source``.
    """
    content = torch.load(source, map_location='cpu', weights_only=False)
    buffer = io.BytesIO()
    torch.save(plain_checkpoint(content), buffer)
    write_atomically(buffer.getvalue(), target)


def plain_checkpoint(checkpoint: dict) -> dict:
    """Convert the content of a checkpoint with :func:`to_plain`.

    Tensors of the ``state_dict`` and its version metadata stay as they are.
    Objects in the message hub that have no plain form (any hook can put some
    there) are left out with a warning: they are information, not state.

    Args:
        checkpoint (dict): What ``Runner.save_checkpoint`` made.

    Returns:
        dict: A new dictionary.

    Raises:
        TypeError: If state other than the message hub's cannot be converted.
    """
    plain = {}
    for name, value in checkpoint.items():
        if name == 'state_dict':
            plain[name] = value
        elif name == 'message_hub':
            plain[name] = _plain_hub(value)
        else:
            plain[name] = to_plain(value, f'checkpoint[{name!r}]')
    return plain


def _plain_hub(hub) -> dict:
    if not isinstance(hub, dict):  # very old mmengine pickled the hub itself
        hub = hub.state_dict()
    plain = dict(log_scalars={}, runtime_info={}, resumed_keys={})
    for group in ('log_scalars', 'runtime_info'):
        for key, value in hub[group].items():
            try:
                plain[group][key] = to_plain(value, f'message hub {key!r}')
            except TypeError as error:
                print_log(
                    f'Not saved: {error}',
                    logger='current',
                    level=logging.WARNING)
    plain['resumed_keys'] = {
        key: bool(value)
        for key, value in hub['resumed_keys'].items()
        if key in plain['log_scalars'] or key in plain['runtime_info']
    }
    return plain


def _candidates(work_dir: Path) -> list[Path]:
    """Checkpoint files in the order in which to try them."""
    folders, first = [work_dir], []
    record = work_dir / 'last_checkpoint'
    if record.is_file():
        last = Path(record.read_text().strip())
        if not last.is_file() and (work_dir / last.name).is_file():
            last = work_dir / last.name  # the folder was moved
        first = [last]
        folders.append(last.parent)
    numbered = {
        path
        for folder in folders
        for path in folder.glob('*.pth')
        if re.fullmatch(r'(iter|epoch)_\d+', path.stem)
    }
    # By time, not by number: an earlier run in the same folder may have gone
    # further than this one.
    others = sorted(
        numbered.difference(first),
        key=lambda path:
        (path.stat().st_mtime_ns, int(path.stem.split('_')[1])),
        reverse=True)
    return first + others


def _first_damaged_member(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        return archive.testzip()


def _is_pickle(path: Path) -> bool:
    """Whether a file begins as ``pickle.dump`` of any modern protocol."""
    with open(path, 'rb') as file:
        head = file.read(2)
    return len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def _corrupt(path: Path, reason) -> CheckpointError:
    reason = (str(reason).strip() or type(reason).__name__).splitlines()[0]
    return CheckpointError(
        f'{path} is truncated, corrupt or not a checkpoint ({reason}). Use '
        'another file.')


def _unsafe(path: Path, error) -> UnsafeCheckpointError:
    found = re.search(r'GLOBAL ([\w.]+)', str(error))
    what = f' (first of them: {found[1]})' if found else ''
    command = _CONVERT.format(
        source=str(path),
        target=str(path.with_name(f'{path.stem}_plain{path.suffix}')))
    return UnsafeCheckpointError(
        f'{path} contains pickled Python objects{what}, as files written by '
        "mmengine's own CheckpointHook do. They are refused because loading "
        'them can run any code. If you trust where the file comes from, '
        f'convert it once and use the result:\n  {command}\n'
        "(From now on use type='SemiCheckpointHook', whose files load "
        'safely.)')
