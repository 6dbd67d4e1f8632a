"""No test depends on how fast the machine is: what a test may not do with a clock."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.tree import files, name_of, syntax

_CLOCKS = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time", "time"}
# What a fault of the long run lasts, and the seconds in which Keycloak counts; nothing is asserted about the time.
_LASTING = "tests/live/chaos/"


def fixed_sleeps(tree: ast.AST) -> Iterator[int]:
    """Lines of a sleep for a fixed time that an assertion follows: wait for the state instead."""
    for node in ast.walk(tree):
        for block in (getattr(node, name, None) for name in ("body", "orelse", "finalbody")):
            if not isinstance(block, list):
                continue
            slept = [number for number, one in enumerate(block) if _is_fixed_sleep(one)]
            if slept and any(_asserts(one) for one in block[slept[0] + 1 :]):
                yield block[slept[0]].lineno


def asserted_durations(tree: ast.AST) -> Iterator[int]:
    """Lines that compare what a clock says with what it said, as the smaller side: a busy machine needs longer."""
    clocked = {
        name.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and any(_is_difference(one) for one in ast.walk(node.value))
        for target in node.targets
        for name in ast.walk(target)
        if isinstance(name, ast.Name)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assert):
            continue
        for one in ast.walk(node.test):
            if isinstance(one, ast.Compare) and any(_is_time(side, clocked) for side in _smaller(one)):
                yield node.lineno


def _smaller(compare: ast.Compare) -> list[ast.expr]:
    """The sides that must be less than another one."""
    sides, found = [compare.left, *compare.comparators], []
    for left, operator, right in zip(sides, compare.ops, sides[1:], strict=False):
        if isinstance(operator, ast.Lt | ast.LtE):
            found.append(left)
        elif isinstance(operator, ast.Gt | ast.GtE):
            found.append(right)
    return found


def _is_time(side: ast.expr, clocked: set[str]) -> bool:
    return any(_is_difference(one) or (isinstance(one, ast.Name) and one.id in clocked) for one in ast.walk(side))


def _is_difference(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and any(_is_clock(one) for one in ast.walk(node))
    )


def _is_clock(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    return getattr(called, "attr", getattr(called, "id", "")) in _CLOCKS


def _is_fixed_sleep(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr) else None
    call = call.value if isinstance(call, ast.Await) else call
    if not isinstance(call, ast.Call) or getattr(call.func, "attr", "") != "sleep" or not call.args:
        return False
    try:
        return bool(ast.literal_eval(call.args[0]))  # asyncio.sleep(0) lets others run, and lasts as long as they do
    except ValueError:
        return not any(isinstance(one, ast.Call) for one in ast.walk(call.args[0]))


def _asserts(node: ast.stmt) -> bool:
    return any(isinstance(one, ast.Assert) for one in ast.walk(node))


@pytest.mark.parametrize("rule", [fixed_sleeps, asserted_durations], ids=lambda rule: rule.__name__)
def test_no_test_depends_on_how_fast_the_machine_is(rule: object) -> None:
    assert callable(rule)
    names = [path for path in files("tests", suffix=".py") if not name_of(path).startswith(_LASTING)]
    assert [f"{name_of(path)}:{line}" for path in names for line in rule(syntax(path))] == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (fixed_sleeps, "def test():\n    time.sleep(0.1)\n    assert done"),
        (fixed_sleeps, "async def test():\n    await asyncio.sleep(10 * INTERVAL)\n    with x:\n        assert done"),
        (asserted_durations, "def test():\n    begun = time.monotonic()\n    assert time.monotonic() - begun < 2"),
        (asserted_durations, "def test():\n    took = perf_counter() - begun\n    assert 0 < took <= BOUND"),
        (asserted_durations, "def test():\n    assert 1.0 > max(time.time() - begun, 0)"),
    ],
)
def test_each_rule_finds_what_it_is_about(rule: object, text: str) -> None:
    assert callable(rule)
    assert list(rule(ast.parse(text)))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (fixed_sleeps, "def test():\n    while not done:\n        time.sleep(0.1)\n    assert done"),
        (fixed_sleeps, "async def test():\n    await asyncio.sleep(0)\n    assert done"),
        (asserted_durations, "def test():\n    assert time.monotonic() - begun >= 0.05"),
        (asserted_durations, "def test():\n    assert fetches <= 5 + (time.monotonic() - begun)"),
    ],
)
def test_neither_rule_finds_what_a_busy_machine_changes_nothing_about(rule: object, text: str) -> None:
    assert callable(rule)
    assert not list(rule(ast.parse(text)))
