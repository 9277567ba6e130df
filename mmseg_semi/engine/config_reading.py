# Copyright (c) mmseg_semi authors.
"""Config files and options over them, with mistakes named."""
import inspect
import logging
from collections.abc import Iterator

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from ..config_files import find_config
from ..datasets.paths import require
from .readable_errors import is_readable

# What is read from the top of a config, beside the arguments of Runner.
_READ = ('reuse_work_dir', 'epoch_iters', 'eval_protocol', 'runner_type',
         'tta_model', 'tta_pipeline', 'custom_imports')
_SHOWN = 4
_SUFFIXES = '.json', '.yaml', '.yml'


def read_config(name: str) -> Config:
    """Read a config file.

    Args:
        name (str): Path, or ``mmseg_semi::folder/name.py``.

    Returns:
        Config: With its bases.

    Raises:
        FileNotFoundError: There is no such file, or it is a folder.
        ValueError: Its name is not that of a config; or a statement in it,
            or in a base, fails: names file, line and reason.
    """
    path = find_config(name)
    if not path.endswith('.py'):  # MMEngine's own errors name missing ones
        require(path, 'config', False)
        if not path.endswith(_SUFFIXES):
            raise ValueError(f'config: {path} is none; the names of configs '
                             f'end with {", ".join((".py", *_SUFFIXES))}.')
    try:
        return Config.fromfile(path)
    except SyntaxError as error:
        place = f'{_parsed_file(error) or name}, line {error.lineno}'
        raise ValueError(
            f'{place}: this is no Python ({error.msg}).') from error
    except Exception as error:  # configs are programs
        place = _failing_line(error)
        if place is None or is_readable(error):
            raise
        reason = ' '.join(str(error).split())
        raise ValueError(f'{place}: {type(error).__name__}: {reason}. '
                         'Mend this line of the config.') from error


def check_options(cfg: Config, options: dict) -> None:
    """Options must change something.

    A config file works its variables into the settings while it is read.
    Another value for a variable, afterwards, reaches nobody.

    Args:
        cfg (Config): As read from the file.
        options (dict): Dotted key -> value, of ``--cfg-options``.

    Raises:
        ValueError: If an option sets a name that nothing reads, while
            settings of that name exist elsewhere.
    """
    read = {*inspect.signature(Runner.__init__).parameters, *_READ}
    if 'data_preprocessor' in (cfg.get('model') or {}):
        read.discard('data_preprocessor')  # the model's own one is used
    for key in options:
        top, *rest = key.split('.')
        if top in read:
            continue
        places = [
            '.'.join([place, *rest])
            for place in _settings(cfg.to_dict(), top, read)
        ]
        if places:
            raise ValueError(
                f'--cfg-options {key}=... would change nothing: {top!r} at '
                'the top of a config is a variable at most, whose value the '
                'file has used already. Name the settings: '
                f'{", ".join(places[:_SHOWN])}'
                f'{" ..." if len(places) > _SHOWN else ""}.')
        print_log(
            f'--cfg-options {key}=...: nothing in MMEngine or this package '
            f'reads {top!r} from the top of a config.',
            logger='current',
            level=logging.WARNING)


def _settings(part, name: str, read: set[str], place='') -> Iterator[str]:
    """Dotted places of settings of a name, in what is read."""
    if isinstance(part, dict):
        items = [(str(k), v) for k, v in part.items() if place or k in read]
    elif isinstance(part, (list, tuple)):
        items = [(str(i), v) for i, v in enumerate(part)]
    else:
        return
    for key, value in items:
        here = f'{place}.{key}' if place else key
        if key == name and place:
            yield here
        yield from _settings(value, name, read, here)


def _parsed_file(error: SyntaxError) -> str | None:
    """The file that MMEngine was parsing."""
    found = None
    for frame, _ in _frames(error):
        if frame.f_globals.get('__name__') == 'mmengine.config.config':
            found = frame.f_locals.get('filename', found)
    return found


def _failing_line(error: Exception) -> str | None:
    """File and line of a config's statement that failed."""
    found, read = None, set()
    for frame, line in _frames(error):
        if frame.f_globals.get('__name__') == 'mmengine.config.config':
            read.add(frame.f_locals.get('filename'))
        if frame.f_code.co_filename in read:
            found = f'{frame.f_code.co_filename}, line {line}'
    return found


def _frames(error: Exception) -> Iterator[tuple]:
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame, traceback.tb_lineno
        traceback = traceback.tb_next
