# Copyright (c) mmseg_semi authors.
"""What errors of libraries say of a config, in words that lead on."""
import difflib
import inspect
import re

_ARGUMENT = re.compile(
    r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r'(\w+)(?:\.__init__)?\(\) missing \d+ required '
                      r"(?:positional|keyword-only) arguments?: (.+)$")
_UNKNOWN = re.compile(r'(\S+) is not in the (?:\w+::)?([\w ]+) registry')
_WORKERS = re.compile(
    r'(persistent_workers|prefetch_factor) option .*num_workers')


def explain(error: Exception) -> str | None:
    """Say what to change in a config.

    Args:
        error (Exception): One that a library raised while it built what a
            config names.

    Returns:
        str | None: None if the error says nothing of a config.
    """
    text = ' '.join(str(error).split())
    if isinstance(error, TypeError):
        return _argument(error, text)
    if isinstance(error, KeyError) and (found := _UNKNOWN.search(text)):
        return _unknown(found[1].strip('\'"'), found[2])
    if isinstance(error, ValueError) and (found := _WORKERS.search(text)):
        return (f'A dataloader has {found[1]} and num_workers=0: set '
                f'{found[1]}={False if found[1][:3] == "per" else None} of '
                'the same dataloader, too.')
    if isinstance(error, ImportError) and 'custom modules' in text:
        return (f'{text}. custom_imports names modules as `import` does: run '
                'from the folder that holds them, or add it to PYTHONPATH.')
    if isinstance(error, ImportError) and 'pip install' in text:
        return f'A package that the config needs is missing. {text}'
    return None


def _argument(error: TypeError, text: str) -> str | None:
    """An argument too many, or one that lacks."""
    cls = _class_being_built(error)
    if cls is None:
        return None
    if found := _ARGUMENT.search(text):
        near = difflib.get_close_matches(found[2], _arguments(cls), n=3)
        similar = f' (similar: {", ".join(near)})' if near else ''
        return (f'{cls.__name__} takes no {found[2]!r}{similar}. Where the '
                'config does not say it, it comes from a _base_ with another '
                'type: _delete_=True in the dict leaves out what the base '
                'says.')
    if found := _MISSING.search(text):
        return f'{cls.__name__} needs {found[2]}: add it in the config.'
    return None


def _class_being_built(error: Exception) -> type | None:
    """The class whose constructor does not take what a registry gave it.

    None for errors from deeper inside, which are no fault of the config's
    dict; only constructors that pass arguments on to each other may be
    between.
    """
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frames.append(traceback.tb_frame)
        traceback = traceback.tb_next
    while frames and frames[-1].f_code.co_name == '__init__':
        frames.pop()
    if not frames or frames[-1].f_code.co_name != 'build_from_cfg':
        return None
    found = frames[-1].f_locals.get('obj_cls')
    return found if inspect.isclass(found) else None


def _arguments(cls: type) -> list[str]:
    """Arguments of a class and of those that it passes the others on to."""
    names = []
    for base in cls.__mro__:
        if '__init__' in vars(base):
            names += inspect.signature(base.__init__).parameters
    return [
        name for name in dict.fromkeys(names)
        if name not in ('self', 'kwargs', 'args')
    ]


def _unknown(name: str, kind: str) -> str:
    from mmseg import registry
    known = getattr(registry, f'{kind.strip().upper().replace(" ", "_")}S',
                    None)
    names = set()
    while known is not None:
        names |= set(known.module_dict)
        known = known.parent
    near = difflib.get_close_matches(name, names, n=3)
    similar = f' (similar: {", ".join(near)})' if near else ''
    return (f'There is no {kind} of the name {name!r}{similar}. Check `type` '
            'in the config, or name the module that defines it in '
            "custom_imports=dict(imports=['...']).")
