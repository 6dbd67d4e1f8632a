"""The rules of the house that neither linter nor type checker knows."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

from tests.house.tree import ROOT, files, name_of, syntax

LONGEST_FILE = 500
BUILT = (".whl", ".gz", ".zip", ".tar", ".tgz", ".jar", ".so", ".pyc", ".db", ".log")
LONGEST_MEDIAN = 10
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_no_module_tells_two_stories() -> None:
    modules = (*files("tenants_api", suffix=".py"), *files("tests", suffix=".py"))
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in modules}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_nothing_that_was_built_or_fetched_is_kept() -> None:
    assert [name_of(path) for path in files() if path.suffix in BUILT] == []


def test_every_module_says_what_it_is_for() -> None:
    modules = files("tenants_api", suffix=".py")
    assert [name_of(path) for path in modules if not ast.get_docstring(syntax(path))] == []


def test_every_file_of_tests_says_what_it_is_for() -> None:
    modules = [path for path in files("tests", suffix=".py") if path.stat().st_size > 1]
    assert [name_of(path) for path in modules if not ast.get_docstring(syntax(path))] == []


def test_functions_are_short() -> None:
    lengths = [
        (node.end_lineno or node.lineno) - node.body[0].lineno + 1
        for path in files("tenants_api", suffix=".py")
        for node in ast.walk(syntax(path))
        if isinstance(node, _Function)
    ]
    assert median(lengths) <= LONGEST_MEDIAN


def test_imports_are_absolute() -> None:
    relative = [
        f"{name_of(path)}:{node.lineno}"
        for path in files(suffix=".py")
        for node in ast.walk(syntax(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_imports_stand_at_the_top() -> None:
    assert [place for path in files("tenants_api", suffix=".py") for place in _inner_imports(path)] == []


def test_no_test_patches() -> None:
    assert [place for path in files("tests", suffix=".py") for place in _patches(path)] == []


def test_changelog_has_room_for_the_next_change() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines()


def _inner_imports(path: Path) -> list[str]:
    functions = [node for node in ast.walk(syntax(path)) if isinstance(node, _Function)]
    return [
        f"{name_of(path)}:{node.lineno}"
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]


def _patches(path: Path) -> list[str]:
    """Where it imports a mocking library, asks for the fixture of one, or lets monkeypatch change an object."""
    return [f"{name_of(path)}:{node.lineno}" for node in ast.walk(syntax(path)) if _is_patch(node)]  # type: ignore[attr-defined]


def _is_patch(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return any(name.name.split(".")[0] in {"mock", "pytest_mock"} or "mock" in name.name for name in names)
        case ast.ImportFrom(module=str(module), names=names):
            return "mock" in module.split(".") or (module == "unittest" and any(name.name == "mock" for name in names))
        case ast.Attribute(value=ast.Name(id="monkeypatch"), attr="setattr" | "setitem" | "delattr" | "delitem"):
            return True
        case ast.arg(arg="mocker"):
            return True
    return False
