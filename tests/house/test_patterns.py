"""No pattern of the package takes long over a text that was made to be slow: a regex bomb needs one that does."""

from __future__ import annotations

import importlib
import re
import time

import pytest

from tests.house.tree import ROOT, files

LENGTH = 20_000  # characters: more than any text that reaches a pattern unmeasured
UNITS = (
    "a", "0", "-", "_", ".", "/", "%41", "=", ":", "@", " ", "\t", "ab.", "a-", "-a", "a.a", "ey", "eyJ", "tak_",
    "bearer ", "://", "://a:", "a=&", "::", "0x0.", "[", "{", "\\", "\u2028",
)  # fmt: skip
LONGEST = 0.25  # seconds of CPU for one text; the quadratic patterns that this is about take many times that


def patterns() -> dict[str, re.Pattern[str] | re.Pattern[bytes]]:
    """Every pattern that a module of the package keeps."""
    found = {}
    for path in files("tenants_api", suffix=".py"):
        if "re.compile(" not in path.read_text("utf-8"):
            continue
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for attribute, value in vars(importlib.import_module(name)).items():
            if isinstance(value, re.Pattern):
                found[f"{name}.{attribute}"] = value
    return found


PATTERNS = patterns()


def test_patterns_of_the_gates_are_among_them() -> None:
    gates = ("keycloak.urls._URL", "observability.logging._JWT", "api.admin.fields._SLUG")
    assert {f"tenants_api.{gate}" for gate in gates} <= PATTERNS.keys()
    assert len(PATTERNS) > 10


@pytest.mark.parametrize("name", PATTERNS)
def test_pattern_is_quick_over_a_text_that_almost_fits(name: str) -> None:
    pattern = PATTERNS[name]
    for start in ("", "https://", "a", "tak_", "Bearer "):
        for unit in UNITS:
            text = start + unit * (LENGTH // len(unit)) + "\0"
            given = text.encode() if isinstance(pattern.pattern, bytes) else text
            begun = time.process_time()
            pattern.search(given)  # type: ignore[arg-type]  # as its pattern is
            assert time.process_time() - begun < LONGEST, (start, unit)
