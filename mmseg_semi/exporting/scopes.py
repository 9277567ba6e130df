# Copyright (c) mmseg_semi authors.
"""Which names of a statement are those of its module."""
import ast
from collections.abc import Iterator
from typing import NamedTuple

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_OWN_SCOPE = (*FUNCTIONS, ast.ClassDef, ast.Lambda, ast.ListComp, ast.SetComp,
              ast.DictComp, ast.GeneratorExp)


class Use(NamedTuple):
    """A name of the module that a statement reads.

    Attributes:
        node (ast.Name): Where.
        eager (bool): When the module is imported, not when a function is
            called.
    """
    node: ast.Name
    eager: bool


class ModuleNames(ast.NodeVisitor):
    """Finds the names of the module in one of its statements.

    Args:
        statement (ast.stmt): A statement at the top of a module.
        package (str): Imports of it inside functions count as names of the
            module.

    Attributes:
        uses (list[Use]): In the order of the text.
        imports (list[ast.ImportFrom]): Imports of the package inside
            functions.
    """

    def __init__(self, statement: ast.stmt, package: str) -> None:
        self.package = package
        self.uses: list[Use] = []
        self.imports: list[ast.ImportFrom] = []
        self._scopes: list[tuple[str, set[str]]] = []
        self._depth = 0  # of functions
        self.visit(statement)

    def is_own(self, node: ast.AST) -> bool:
        """Whether a node is an import from the package."""
        return isinstance(node, ast.ImportFrom) and bool(
            node.level or (node.module or '').split('.')[0] == self.package)

    def visit_Name(self, node: ast.Name) -> None:
        for position, (kind, names) in enumerate(reversed(self._scopes)):
            # Functions in a class do not see its names.
            if node.id in names and (kind != 'class' or position == 0):
                return
        if isinstance(node.ctx, ast.Load):
            self.uses.append(Use(node, self._depth == 0))
        elif self._scopes and self._scopes[-1][0] == 'class':
            self._scopes[-1][1].add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        # In a class `name = name` reads that of the module.
        self.visit(node.value)
        for target in node.targets:
            self.visit(target)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if self.is_own(node):
            self.imports.append(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        arguments = node.args
        for outside in (*node.decorator_list, *arguments.defaults,
                        *filter(None, arguments.kw_defaults), node.returns):
            if outside is not None:
                self.visit(outside)
        for argument in _arguments(arguments):
            if argument.annotation is not None:
                self.visit(argument.annotation)
        self._bind(node.name)
        names = {a.arg for a in _arguments(arguments)}
        for statement in node.body:
            names |= self._bound(statement)
        self._inside('function', names, node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in (*node.args.defaults,
                        *filter(None, node.args.kw_defaults)):
            self.visit(default)
        names = {a.arg for a in _arguments(node.args)}
        self._inside('function', names, [node.body])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for outside in (*node.decorator_list, *node.bases, *node.keywords):
            self.visit(outside)
        self._bind(node.name)
        self._scopes.append(('class', set()))
        for statement in node.body:
            self.visit(statement)
        self._scopes.pop()

    def _comprehension(self, node: ast.AST) -> None:
        names = set()
        for generator in node.generators:
            names |= self._bound(generator.target)
        self.visit(node.generators[0].iter)
        self._scopes.append(('function', names))
        for field, value in ast.iter_fields(node):
            for part in value if isinstance(value, list) else [value]:
                if isinstance(part, ast.AST):
                    self.visit(part)
        self._scopes.pop()

    visit_ListComp = visit_SetComp = visit_DictComp = _comprehension
    visit_GeneratorExp = _comprehension

    def _bind(self, name: str) -> None:
        if self._scopes and self._scopes[-1][0] == 'class':
            self._scopes[-1][1].add(name)

    def _inside(self, kind: str, names: set[str], body: list) -> None:
        self._scopes.append((kind, names))
        self._depth += 1
        for part in body:
            self.visit(part)
        self._depth -= 1
        self._scopes.pop()

    def _bound(self, node: ast.AST) -> set[str]:
        """Names that a part of a function makes its own."""
        names = set()
        for part in _same_scope(node):
            if isinstance(part,
                          ast.Name) and not isinstance(part.ctx, ast.Load):
                names.add(part.id)
            elif isinstance(part, (*FUNCTIONS, ast.ClassDef)):
                names.add(part.name)
            elif isinstance(part, ast.ExceptHandler) and part.name:
                names.add(part.name)
            elif isinstance(part, (ast.Import, ast.ImportFrom)):
                if not self.is_own(part):
                    names |= {bound_name(alias) for alias in part.names}
        return names


def bound_name(alias: ast.alias) -> str:
    """The name that an import gives."""
    return alias.asname or alias.name.split('.')[0]


def _arguments(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from filter(None, (arguments.vararg, arguments.kwarg))


def _same_scope(node: ast.AST) -> Iterator[ast.AST]:
    """A node and all inside it, but for what has names of its own."""
    yield node
    if not isinstance(node, _OWN_SCOPE):
        for child in ast.iter_child_nodes(node):
            yield from _same_scope(child)
