"""The list of defences stays true to the code; scripts/mutate, which takes minutes, uses it."""

from __future__ import annotations

import pytest

from tests.mutate import ROOT, Defence, listed


@pytest.mark.parametrize("defence", listed(), ids=lambda defence: defence.name)
def test_defence_stands_where_the_list_says(defence: Defence) -> None:
    source = (ROOT / defence.file).read_text(encoding="utf-8")
    without = defence.removed_from(source)
    if defence.file.endswith(".py"):
        compile(without, defence.file, "exec")
    assert all((ROOT / path.partition("::")[0]).exists() for path in defence.tests.split())


def test_list_holds_at_least_forty_defences_with_names_of_their_own() -> None:
    names = [defence.name for defence in listed()]
    assert len(set(names)) == len(names) >= 40
