# Copyright (c) mmseg_semi authors.
"""Classes of this package, with all they need of it, as one Python file.

Definitions are copied as they are written, comments too. Their imports of
this package go, the others come along; where two modules give a name to
different things, the second is renamed.
"""
import ast
import builtins
import re
from collections.abc import Iterable
from typing import NamedTuple

from .scopes import FUNCTIONS, ModuleNames, bound_name
from .source import PACKAGE, Source, read_source

_HEADER = '''\
# Copyright (c) {package} authors.
# Licensed under the Apache License, Version 2.0:
# http://www.apache.org/licenses/LICENSE-2.0
# Generated from {package} {version} for one exported model; it does not need
# {package}.
"""{title}"""
'''
_REGISTER = re.compile(r'@(\w+)\.register_module\(\)')
_REGISTER_ABSENT = '''
def register_absent(registry):
    """Decorator: register a class unless its name is taken already."""

    def register(cls):
        if cls.__name__ not in registry.module_dict:
            registry.register_module(module=cls)
        return cls

    return register
'''


class NotSelfContainedError(TypeError):
    """A class cannot be put into one file; the message says why."""


class Key(NamedTuple):
    """A definition: its module and its name there."""
    module: str
    name: str


def one_file(classes: Iterable[type], title: str) -> str:
    """Put classes of this package into one file without this package.

    A class that is registered is registered there under its name, unless the
    name is taken.

    Args:
        classes (Iterable[type]): Defined at the top of modules of this
            package.
        title (str): For the docstring of the file.

    Returns:
        str: Python.

    Raises:
        NotSelfContainedError: What they need cannot be copied.
    """
    from ..version import __version__
    parts = _Parts()
    for cls in sorted(classes, key=lambda c: (c.__module__, c.__qualname__)):
        parts.add(Key(cls.__module__, cls.__qualname__))
    names = parts.names()
    bodies = [parts.text(key, names) for key in parts.ordered()]
    text = '\n\n\n'.join(bodies)
    register = ''
    if _REGISTER.search(text):
        text = _REGISTER.sub(r'@register_absent(\1)', text)
        register = f'\n{_REGISTER_ABSENT}\n'
    header = _HEADER.format(package=PACKAGE, version=__version__, title=title)
    imports = '\n'.join(
        sorted(set(parts.imports().values()), key=_import_order))
    return f'{header}{imports}\n{register}\n\n{text}\n'


def _import_order(line: str) -> tuple:
    return not line.startswith('import '), line


class _Parts:
    """The definitions that go into a file."""

    def __init__(self) -> None:
        self.found: dict[Key, ModuleNames] = {}
        # What a name in a definition means: a definition, or an import.
        self.meaning: dict[tuple[Key, str], Key | str] = {}

    def add(self, key: Key) -> None:
        """Take a definition and all it needs."""
        pending = [key]
        while pending:
            key = self._canonical(pending.pop())
            if key in self.found:
                continue
            source = read_source(key.module)
            names = ModuleNames(source.statements[key.name], PACKAGE)
            self.found[key] = names
            local = {
                bound_name(alias): (node, alias)
                for node in names.imports
                for alias in node.names
            }
            for use in names.uses:
                meant = self._meant(source, use.node.id, local)
                if meant is None:
                    continue
                self.meaning[key, use.node.id] = meant
                if isinstance(meant, Key):
                    pending.append(meant)
            pending += self._decorated_with(source, key.name)

    @staticmethod
    def _canonical(key: Key) -> Key:
        """One key for all names of one statement."""
        statements = read_source(key.module).statements
        first = next(
            (n
             for n, s in statements.items() if s is statements.get(key.name)),
            None)
        if first is None:
            raise NotSelfContainedError(
                f'{key.module} has no definition {key.name} at its top.')
        return Key(key.module, first)

    @staticmethod
    def _decorated_with(source: Source, name: str) -> list[Key]:
        """What a decorator of this name notes down somewhere."""
        found = []
        for other, statement in source.statements.items():
            for decorator in getattr(statement, 'decorator_list', []):
                if isinstance(decorator, ast.Call) and getattr(
                        decorator.func, 'id', None) == name:
                    found.append(Key(source.name, other))
        return found

    def _meant(self, source: Source, name: str,
               local: dict) -> 'Key | str | None':
        """A definition of the package, an import line, or a builtin."""
        if name in ('__file__', '__package__', '__spec__'):
            raise NotSelfContainedError(
                f'{source.name} reads {name}, which another file has not.')
        if name in source.statements and name not in local:
            return self._named(Key(source.name, name))
        node, alias = local.get(name) or source.imported.get(
            name, (None, None))
        if node is None:
            if name == '__name__' or hasattr(builtins, name):
                return None
            raise NotSelfContainedError(
                f'{source.name} gives {name} a value in a way that cannot be '
                'copied.')
        if isinstance(node, ast.Import):
            if alias.name.split('.')[0] == PACKAGE:
                raise NotSelfContainedError(
                    f'{source.name} imports {alias.name} as a module.')
            return f'import {ast.unparse(alias)}'
        origin = source.origin(node)
        if origin.split('.')[0] != PACKAGE:
            return f'from {origin} import {ast.unparse(alias)}'
        return self._definition(origin, alias.name)

    def _definition(self, module: str, name: str) -> 'Key | str':
        """Follow imports of imports to where a name is defined."""
        source = read_source(module)
        if name in source.statements:
            return self._named(Key(module, name))
        if name not in source.imported:
            raise NotSelfContainedError(
                f'{module}.{name} is a module, of which no part can be taken.')
        return self._meant(source, name, {})

    def _named(self, key: Key) -> Key:
        self._canonical(key)
        return key

    def imports(self) -> dict[str, str]:
        """Imports of other packages: as they are found -> as they are made.

        One line for one target; a name that means two things is changed.
        """
        made: dict[str, str] = {}
        targets: dict[str, str] = {}
        for line in sorted(m for m in self.meaning.values()
                           if isinstance(m, str)):
            name, target = _target(line)
            while targets.setdefault(name, target) != target:
                name += '_'
            same = (
                one for one in made.values() if _target(one) == (name, target))
            made[line] = next(same, None) or _as(line, name)
        return made

    def names(self) -> dict['Key | str', str]:
        """A name of its own for every definition and every import."""
        result: dict[Key | str, str] = {
            line: _target(made)[0]
            for line, made in self.imports().items()
        }
        taken = set(result.values())
        keys = {m for m in self.meaning.values() if isinstance(m, Key)}
        for key in sorted(keys | set(self.found)):
            name = key.name
            if name in taken:
                name = f'{name}_of_{key.module.rpartition(".")[2]}'
            while name in taken:
                name += '_'
            taken.add(name)
            result[key] = name
        return result

    def _eager(self, key: Key) -> list[Key]:
        """What must be there when a definition is run.

        With a function, which might be called then, all that it needs.
        """
        found = []
        pending = [
            self.meaning.get((key, use.node.id))
            for use in self.found[key].uses if use.eager
        ]
        while pending:
            meant = pending.pop(0)
            if not isinstance(meant, Key):
                continue
            needed = self._canonical(meant)
            if needed in found or needed == key:
                continue
            found.append(needed)
            statement = read_source(needed.module).statements[needed.name]
            if isinstance(statement, FUNCTIONS):
                pending += [
                    self.meaning.get((needed, use.node.id))
                    for use in self.found[needed].uses
                ]
        return found

    def ordered(self) -> list[Key]:
        """All definitions, each after what it needs at once."""
        done: dict[Key, None] = {}
        open_keys: set[Key] = set()

        def visit(key: Key) -> None:
            if key in done or key in open_keys:
                return
            open_keys.add(key)
            for needed in self._eager(key):
                visit(needed)
            done[key] = None

        for key in sorted(self.found, key=self._position):
            visit(key)
        return list(done)

    @staticmethod
    def _position(key: Key) -> tuple[str, int]:
        return key.module, read_source(key.module).statements[key.name].lineno

    def text(self, key: Key, names: dict['Key | str', str]) -> str:
        """A definition as it goes into the file."""
        source = read_source(key.module)
        statement = source.statements[key.name]
        first, last = source.span(statement)
        lines = [line.encode() for line in source.lines]
        edits = []
        for use in self.found[key].uses:
            meant = self.meaning.get((key, use.node.id))
            if meant is not None and names[meant] != use.node.id:
                edits.append((use.node, names[meant]))
        own = {
            n: names[Key(key.module, n)]
            for n, s in source.statements.items()
            if s is statement and Key(key.module, n) in names
        }
        edits += _renamed(statement, own)
        for node, name in sorted(
                edits, key=lambda e: (e[0].lineno, e[0].col_offset))[::-1]:
            row = lines[node.lineno - 1]
            lines[node.lineno - 1] = (
                row[:node.col_offset] + name.encode() +
                row[node.end_col_offset:])
        for node in self.found[key].imports:
            _drop(statement, node, lines)
        kept = [
            line.decode() for line in lines[first:last] if line is not None
        ]
        return _named_definition('\n'.join(kept), statement, own)


def _target(line: str) -> tuple[str, str]:
    """The name that an import gives, and what it means with dots."""
    node = ast.parse(line).body[0]
    alias = node.names[0]
    prefix = f'{node.module}.' if isinstance(node, ast.ImportFrom) else ''
    target = alias.name if alias.asname or prefix else bound_name(alias)
    return bound_name(alias), prefix + target


def _as(line: str, name: str) -> str:
    """An import that gives this name."""
    node = ast.parse(line).body[0]
    alias = node.names[0]
    if bound_name(alias) != name:
        alias.asname = name
    return ast.unparse(node)


def _renamed(statement: ast.stmt, own: dict[str, str]) -> list[tuple]:
    """Edits of the names that an assignment gives."""
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return []
    return [(node, own[node.id]) for node in ast.walk(statement)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            and own.get(node.id, node.id) != node.id]


def _named_definition(text: str, statement: ast.stmt, own: dict[str,
                                                                str]) -> str:
    """The text of a function or class under its new name."""
    name = getattr(statement, 'name', None)
    if name is None or own.get(name, name) == name:
        return text
    return re.sub(
        rf'^((?:async )?def|class) {name}\b',
        rf'\1 {own[name]}',
        text,
        count=1,
        flags=re.M)


def _drop(statement: ast.stmt, node: ast.stmt, lines: list) -> None:
    """Take an import inside a function out of the lines."""
    alone = any(body == [node] for parent in ast.walk(statement)
                for body in (getattr(parent, 'body', None),
                             getattr(parent, 'orelse', None)) if body)
    for number in range(node.lineno - 1, node.end_lineno):
        lines[number] = None
    if alone:
        lines[node.lineno - 1] = b' ' * node.col_offset + b'pass'
