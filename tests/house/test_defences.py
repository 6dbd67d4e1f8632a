"""The lists of defences and of mendings stay true to the code; scripts/mutate, which takes minutes, uses them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import mutate
from tests.mutate import ROOT, Defence
from tests.simulation import proof
from tests.support.edits import Edit


@pytest.mark.parametrize("defence", mutate.listed(), ids=lambda defence: defence.name)
def test_defence_is_where_the_list_says(defence: Defence) -> None:
    _check(defence.removal)
    assert all((ROOT / path.partition("::")[0]).exists() for path in defence.tests.split())


@pytest.mark.parametrize("mending", proof.listed(), ids=lambda mending: mending.name)
def test_mending_is_where_the_list_says(mending: proof.Mending) -> None:
    for edit in mending.edits:
        _check(edit)


def test_list_holds_at_least_forty_defences_with_names_of_their_own() -> None:
    names = [defence.name for defence in mutate.listed()]
    assert len(set(names)) == len(names) >= 40


SOURCE = """
class Door:
    limit: int = field(default=3, repr=False)

    def open(self, key):
        if key is None or not self.fits(key):
            return
        self.log(key, level=1)
        try:
            self.turn(key)
        finally:
            self.release()
"""


@pytest.mark.parametrize(
    ("at", "old", "new", "expected"),
    [
        ("door.Door.open", "not self.fits( key )", "", ("key is None or not self.fits(key)", "key is None")),
        ("door.Door.open", "key is None", "False", ("key is None or", "False or")),
        ("door.Door.open", "self.log(key, level=1)", "", ("        self.log(key, level=1)\n", "")),
        ("door.Door.open", "self.turn(key)", "", ("self.turn(key)", "pass")),
        ("door.Door.open", "if key is None or not self.fits(key): return\nself.log(key, level=1)", "return 1",
         ("if key is None or not self.fits(key):\n            return\n        self.log(key, level=1)", "return 1")),
        ("door.Door.limit", "3", "4", ("default=3", "default=4")),
        ("door.Door.limit", "False", "", (", repr=False", "")),
    ],
    ids=["operand", "expression", "statement", "only statement", "run of statements", "argument value", "argument"],
)  # fmt: skip
def test_edit_changes_what_it_names_and_nothing_else(
    tmp_path: Path, at: str, old: str, new: str, expected: tuple[str, str]
) -> None:
    (tmp_path / "door.py").write_text(SOURCE)
    assert Edit(at, old, new).made_in(tmp_path).strip() == SOURCE.replace(*expected).strip()


@pytest.mark.parametrize(
    ("at", "old", "reason"),
    [
        ("door.Door.open", "self.fits(lock)", "found 0 times"),
        ("door.Door", "key", "found 4 times"),
        ("door.Door.close", "key", "not defined"),
        ("window.Window", "key", "no module"),
        ("door.Door.open", "self.fits(key)", "needs another in its place"),
    ],
    ids=["not there", "several", "no such function", "no such module", "not one of several"],
)
def test_edit_that_is_not_one_edit_is_refused(tmp_path: Path, at: str, old: str, reason: str) -> None:
    (tmp_path / "door.py").write_text(SOURCE)
    with pytest.raises(ValueError, match=reason):
        Edit(at, old).made_in(tmp_path)


def _check(edit: Edit) -> None:
    changed = edit.made_in(ROOT)
    if edit.path(ROOT).suffix == ".py":
        compile(changed, edit.at, "exec")
