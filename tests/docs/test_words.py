"""The pages name components, in the terms of the field and in British spelling."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files

_NOT = re.compile(
    r"\b(?:whoever|somebody|anybody|nobody|stands?|stood|doors?|cure[sd]?|anew|hears?|heard|trail"
    r"|behavior|colors?|honor(?:ed|s)?|canceled|analyze[ds]?|license[ds])\b",
    re.IGNORECASE,
)


@pytest.mark.parametrize("page", files(suffix=".md"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_page_has_no_word_that_has_a_better_one(page: Path) -> None:
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    assert [f"{number}: {found[0]}" for number, line in lines for found in _NOT.finditer(line)] == []


def test_words_within_code_names_are_not_found() -> None:
    assert _NOT.findall("`test_realms_hold_up_nobody_else` or a standard") == []
    assert _NOT.findall("Whoever asks stands at the door") == ["Whoever", "stands", "door"]
