"""The page of attacks: every row of the catalogue is there, and every test that it names exists."""

from __future__ import annotations

import re

from tests.house.tree import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
_ROWS = {"A": 16, "B": 10, "C": 15, "D": 22, "E": 16, "F": 11, "G": 15, "H": 18, "I": 12, "J": 14, "K": 12, "L": 10,
         "M": 9, "N": 14, "O": 6, "P": 6, "Q": 7, "R": 9}  # fmt: skip
_LINE = re.compile(r"^\| ([A-R]\d[^|]*?) \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def test_every_row_of_the_catalogue_is_on_the_page() -> None:
    found = {name for row in _LINE.findall(PAGE) for name in _names(row[0])}
    assert found == {f"{letter}{number}" for letter, last in _ROWS.items() for number in range(1, last + 1)}


def test_row_without_a_test_says_why() -> None:
    for row, told, tests in _LINE.findall(PAGE):
        assert "`tests/" in tests or "not" in told, row


def test_every_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE))
    assert len(named) > 200
    missing = [f"{file}::{test}" for file, test in named if f"def {test}" not in _source(file)]
    assert missing == []


def _source(file: str) -> str:
    path = ROOT / file
    return path.read_text(encoding="utf-8") + "def " if path.is_file() else ""


def _names(text: str) -> list[str]:
    """`O3 to O5`, `O1, O2, O6` and `A1` as single rows."""
    first, to, last = text.partition(" to ")
    if not to:
        return text.split(", ")
    return [f"{first[0]}{number}" for number in range(int(first[1:]), int(last[1:]) + 1)]
