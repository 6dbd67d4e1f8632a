"""Edits of the source that are anchored on names, so that moved files and formatted lines leave them valid.

`at` is a dotted name (module, then class, function or constant); what is replaced there is a statement, a run of
statements or an expression, found once by its syntax. In what is not Python, `at` is a path and `old` text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Edit:
    """`old` is found once at `at` and replaced by `new`; without `new` it is removed."""

    at: str
    old: str
    new: str = ""

    def path(self, tree: Path) -> Path:
        """The file that it changes. Raises ValueError if the tree has none."""
        return tree / self.at if "/" in self.at else _module(self.at, tree=tree)[0]

    def made_in(self, tree: Path) -> str:
        """The text of the changed file. Raises ValueError if `old` is not found exactly once."""
        if "/" in self.at:
            source = (tree / self.at).read_text(encoding="utf-8")
            self._expect_one(source.count(self.old))
            return source.replace(self.old, self.new)
        path, names = _module(self.at, tree=tree)
        module = ast.parse(path.read_text(encoding="utf-8"))
        old, new = ast.parse(self.old).body, ast.parse(self.new).body
        scopes = list(_definitions([module], names))
        if not scopes:
            raise ValueError(f"{self.at} is not defined in {path.relative_to(tree)}")
        places = [place for scope in scopes for place in _places(scope, old)]
        self._expect_one(len(places))
        places[0].replace(new)
        return ast.unparse(module)

    def _expect_one(self, count: int) -> None:
        if count != 1:
            raise ValueError(f"expected once at {self.at}, found {count} times: {self.old!r}")


@dataclass(frozen=True, slots=True)
class _Place:
    """Part of a field of a node: `count` items of its list from `index` on, or its only value (`index` is None)."""

    node: ast.AST
    field: str
    index: int | None
    count: int = 1

    def replace(self, new: list[ast.stmt]) -> None:
        value = getattr(self.node, self.field)
        put: list[ast.AST] = list(new)
        if self.field not in ("body", "orelse", "finalbody") or not isinstance(value, list):
            put = [statement.value for statement in new if isinstance(statement, ast.Expr)]
            if len(put) != len(new):
                raise ValueError("only an expression can replace an expression")
        if self.index is None:
            if len(put) != 1:
                raise ValueError("an expression that is not one of several needs another in its place")
            setattr(self.node, self.field, put[0])
            return
        if isinstance(self.node, ast.Dict) and not put:
            del self.node.values[self.index]
        if self.field == "keywords" and put:
            value[self.index].value = put[0]
            return
        value[self.index : self.index + self.count] = put
        if self.field == "body" and not value:
            value.append(ast.Pass())


def _module(name: str, *, tree: Path) -> tuple[Path, list[str]]:
    """The file of the longest module that the dotted name begins with, and the names that follow."""
    names = name.split(".")
    for count in range(len(names), 0, -1):
        stem = tree.joinpath(*names[:count])
        for path in (stem.with_suffix(".py"), stem / "__init__.py"):
            if path.is_file():
                return path, names[count:]
    raise ValueError(f"no module of {name} is found")


def _definitions(scopes: list[ast.AST], names: list[str]) -> list[ast.AST]:
    for name in names:
        scopes = [found for scope in scopes for found in _members(scope) if name in _names(found)]
    return scopes


def _members(scope: ast.AST) -> Iterator[ast.AST]:
    """What is defined in it, below branches too, but not inside other definitions."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, _Definition | ast.Assign | ast.AnnAssign):
            yield node
        else:
            yield from _members(node)


def _names(node: ast.AST) -> list[str]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=targets):
            return [target.id for target in targets if isinstance(target, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []


def _places(scope: ast.AST, old: list[ast.stmt]) -> Iterator[_Place]:
    wanted = [ast.dump(statement) for statement in old]
    expression = ast.dump(old[0].value) if len(old) == 1 and isinstance(old[0], ast.Expr) else None
    for node in ast.walk(scope):
        for field, value in ast.iter_fields(node):
            if not isinstance(value, list):
                # A statement and a keyword argument are found in the lists that hold them.
                if not isinstance(node, ast.Expr | ast.keyword) and _dump(value) == expression is not None:
                    yield _Place(node, field, None)
                continue
            dumps = [_dump(one.value if isinstance(one, ast.keyword) else one) for one in value]
            for index, dumped in enumerate(dumps):
                if dumped == expression is not None or dumps[index : index + len(wanted)] == wanted:
                    yield _Place(node, field, index, len(wanted))


def _dump(value: object) -> str | None:
    return ast.dump(value) if isinstance(value, ast.AST) else None
