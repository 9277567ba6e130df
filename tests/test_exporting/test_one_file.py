# Copyright (c) mmseg_semi authors.
"""Classes with all they need in one file."""
import ast
import builtins
import inspect
import sys
import types

import pytest
from mmseg.registry import MODELS, TRANSFORMS

import mmseg_semi.datasets
import mmseg_semi.models  # noqa: F401
from mmseg_semi.exporting.carried import TappedPrototypeHead
from mmseg_semi.exporting.one_file import NotSelfContainedError, one_file
from mmseg_semi.exporting.scopes import ModuleNames

PARTS = ('models.backbones', 'models.decode_heads', 'datasets.transforms')
CLASSES = sorted(
    (cls for registry in (MODELS, TRANSFORMS)
     for cls in registry.module_dict.values() if isinstance(cls, type) and
     cls.__module__.startswith(tuple(f'mmseg_semi.{part}.'
                                     for part in PARTS))),
    key=lambda cls: cls.__name__)


def names(text):
    """Names of the module in a text, those of functions called later last."""
    statement, = ast.parse(text).body
    uses = ModuleNames(statement, 'mmseg_semi').uses
    return ([u.node.id for u in uses
             if u.eager], [u.node.id for u in uses if not u.eager])


@pytest.mark.parametrize('text, eager, later', [
    ('x = f(y)', ['f', 'y'], []),
    ('def f(a, *b, c=d, **e) -> g: return a + h + b + c + e', ['d', 'g'
                                                               ], ['h']),
    ('def f():\n    a = b\n    return [c for c in a if c is d]', [],
     ['b', 'd']),
    ('def f():\n    for a, b in c:\n        with d as e: a, b, e', [],
     ['c', 'd']),
    ('def f():\n    try: a\n    except B as b: b', [], ['a', 'B']),
    ('def f():\n    import a.b, c as d\n    return a, c, d', [], ['c']),
    ('def f():\n    def g(): return x\n    x = 1\n    return g', [], []),
    ('x = lambda a, b=c: a + b + d', ['c'], ['d']),
    ('@d(e)\nclass A(B, m=C):\n    x = x\n    y = x\n    def f(self): y',
     ['d', 'e', 'B', 'C', 'x'], ['y']),
    ('def f():\n    from mmseg_semi.a import b\n    return b', [], ['b']),
])
def test_names_of_the_module(text, eager, later):
    assert names(text) == (eager, later)


def run(text, name='semi_parts_of_a_test'):
    """The module that a text is."""
    module = types.ModuleType(name)
    sys.modules[name] = module  # dataclasses ask for it
    try:
        exec(compile(text, name, 'exec'), module.__dict__)
    finally:
        del sys.modules[name]
    return module


def check_whole(text):
    """No name is missing, and nothing is imported from the package."""
    module = run(text)
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.ImportFrom):
            assert statement.module.split('.')[0] != 'mmseg_semi'
            continue
        found = ModuleNames(statement, 'mmseg_semi')
        assert not found.imports
        for use in found.uses:
            name = use.node.id
            assert hasattr(module, name) or hasattr(builtins, name), name
    return module


@pytest.mark.parametrize('cls', CLASSES, ids=lambda cls: cls.__name__)
def test_each_class_alone(cls):
    text = one_file([cls], 'A test.')
    copied = getattr(check_whole(text), cls.__name__)
    assert copied is not cls
    assert text.startswith('# Copyright (c) mmseg_semi authors.')
    assert 'Apache' in text.splitlines()[1]
    assert inspect.signature(copied) == inspect.signature(cls) or (str(
        inspect.signature(copied)).count(',') == str(
            inspect.signature(cls)).count(','))


def test_all_together():
    """Where modules give one name to several things, both stay."""
    text = one_file([*CLASSES, TappedPrototypeHead], 'A test.')
    module = check_whole(text)
    assert all(hasattr(module, cls.__name__) for cls in CLASSES)
    assert '_of_' in text  # a name that had to change
    # A registry has what decorators note down in it.
    assert module.adapter_class(module.DepthwiseSeparableASPPHead).__name__ \
        == 'SeparableASPPAdapter'


def test_what_is_registered_already_stays():
    cls = MODELS.get('MaskQueryHead')
    run(one_file([cls], 'A test.'))
    assert MODELS.get('MaskQueryHead') is cls


def test_what_cannot_be_copied_is_named():
    from mmseg_semi.datasets import UnlabeledSegDataset
    with pytest.raises(NotSelfContainedError, match='fcntl'):
        one_file([UnlabeledSegDataset], 'A test.')
