# Copyright (c) mmseg_semi authors.
"""A module of this package as text and as statements."""
import ast
import importlib.util
from functools import lru_cache
from pathlib import Path

from .scopes import FUNCTIONS, bound_name

PACKAGE = __name__.split('.')[0]


class Source:
    """A module of this package as text and as statements.

    Args:
        name (str): With dots.

    Attributes:
        statements (dict[str, ast.stmt]): What gives a name its value.
        imported (dict[str, tuple]): Name -> (import, alias).
    """

    def __init__(self, name: str) -> None:
        spec = importlib.util.find_spec(name)
        self.name, path = name, Path(spec.origin)
        self.is_package = path.name == '__init__.py'
        self.lines = path.read_text('utf-8').splitlines()
        self.body = ast.parse('\n'.join(self.lines)).body
        self.statements: dict[str, ast.stmt] = {}
        self.imported: dict[str, tuple] = {}
        for statement in self.body:
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                for alias in statement.names:
                    self.imported[bound_name(alias)] = statement, alias
            elif isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
                self.statements[statement.name] = statement
            elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
                for node in ast.walk(statement):
                    if isinstance(node, ast.Name) and isinstance(
                            node.ctx, ast.Store):
                        self.statements[node.id] = statement

    def origin(self, node: ast.ImportFrom) -> str:
        """The module that an import inside this one means."""
        if not node.level:
            return node.module
        parts = self.name.split('.')
        parts = parts[:len(parts) - node.level + self.is_package]
        return '.'.join([*parts, *([node.module] if node.module else [])])

    def span(self, statement: ast.stmt) -> tuple[int, int]:
        """First and last line, from 0; comments before and a docstring after
        belong to it."""
        first = min(
            [statement.lineno] +
            [d.lineno for d in getattr(statement, 'decorator_list', [])]) - 1
        while first and self.lines[first - 1].startswith('#'):
            first -= 1
        if first == 0:  # the copyright is no comment on a statement
            first = statement.lineno - 1
        last, after = statement.end_lineno, self.body.index(statement) + 1
        if after < len(self.body) and isinstance(statement,
                                                 (ast.Assign, ast.AnnAssign)):
            text = self.body[after]
            if isinstance(text, ast.Expr) and isinstance(
                    text.value, ast.Constant):
                last = text.end_lineno
        return first, last


@lru_cache(maxsize=None)
def read_source(name: str) -> Source:
    """The :class:`Source` of a module, read once."""
    return Source(name)
