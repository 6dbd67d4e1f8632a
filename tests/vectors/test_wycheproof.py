"""Project Wycheproof's vectors: what must be refused is refused, and each stricter refusal has its reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.vectors.wycheproof import ACCEPTED, STRICTER, Vector, judged, outcome, vectors

FILES = sorted((Path(__file__).parent / "data").glob("*_test.json"))
ALL = [vector for path in FILES for vector in vectors(path)]


def test_every_vector_has_the_outcome_that_it_must_have() -> None:
    counts, wrong = judged(ALL)
    assert wrong == []
    assert counts["valid: accepted"] > 20
    assert counts["invalid: bad_signature"] > 50


def test_no_stricter_reason_stands_in_the_list_for_nothing() -> None:
    assert {outcome(vector) for vector in ALL if vector.valid} - {ACCEPTED} == set(STRICTER)


@pytest.mark.parametrize(
    "vector", [vector for vector in ALL if outcome(vector) == ACCEPTED][:8], ids=lambda one: one.id
)
def test_accepted_vector_is_refused_once_its_last_byte_differs(vector: Vector) -> None:
    raw = vector.raw[:-6] + ("AAAAAA" if vector.raw[-6:] != "AAAAAA" else "QQQQQQ")
    assert outcome(Vector(vector.id, vector.comment, raw, vector.keys, valid=False)) != ACCEPTED


def test_tool_reports_a_wrong_accept_by_its_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.vectors.wycheproof"]
    good = subprocess.run([*command, *map(str, FILES)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (good.returncode, good.stdout.splitlines()[-1]) == (0, f"{len(ALL)} vectors, 0 wrong")
    spoiled = tmp_path / "spoiled.json"
    text = next(path for path in FILES if "signature" in path.name).read_text("utf-8")
    spoiled.write_text(text.replace('"result": "valid"', '"result": "invalid"'), "utf-8")
    bad = subprocess.run([*command, str(spoiled)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert "WRONG" in bad.stdout
