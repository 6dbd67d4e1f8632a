"""No pattern of the package takes long over a text that was made to be slow: a regex bomb needs one that does."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterator

import pytest

from tests.house.tree import ROOT, files

LENGTH = 10_000  # characters: enough to tell how the time grows
UNITS = (
    "a", "0", "-", "_", ".", "/", "%41", "=", ":", "@", " ", "\t", "ab.", "a-", "-a", "a.a", "ey", "eyJ", "tak_",
    "bearer ", "://", "://a:", "a=&", "::", "0x0.", "[", "{", "\\", "\u2028",
)  # fmt: skip
STARTS = ("", "https://", "a", "tak_", "Bearer ")
NOTICEABLE = 0.01  # seconds of this thread's CPU; most patterns take a tenth of it
GROWTH = 8  # of the time over a text four times as long: 4 where it is linear, 16 where it is quadratic


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
    gates = ("outbound.urls._URL", "observability.logging._JWT", "schemas.base._SLUG")
    assert {f"tenants_api.{gate}" for gate in gates} <= PATTERNS.keys()
    assert len(PATTERNS) > 10


@pytest.mark.parametrize("name", PATTERNS)
def test_time_of_a_pattern_grows_no_faster_than_a_text_that_almost_fits(name: str) -> None:
    assert [text for text in texts() if is_slow(PATTERNS[name], *text)] == []


@pytest.mark.parametrize("bomb", ["[a-z]+=", r"\s+$", "a.*b.*c"])
def test_pattern_that_is_quadratic_is_found(bomb: str) -> None:
    assert any(is_slow(re.compile(bomb), *text) for text in texts())


def texts() -> Iterator[tuple[str, str]]:
    return ((start, unit) for start in STARTS for unit in UNITS)


def is_slow(pattern: re.Pattern[str] | re.Pattern[bytes], start: str, unit: str) -> bool:
    """By how the time grows, which is the same on a slow or busy machine; a text that costs nothing is not measured."""
    long = seconds(pattern, start, unit, length=LENGTH)
    if long < NOTICEABLE:
        return False
    short = min(seconds(pattern, start, unit, length=LENGTH // 4) for _ in range(2))
    # What seems slow is measured again: once in a while something else takes its time.
    return long > GROWTH * short and seconds(pattern, start, unit, length=LENGTH) > GROWTH * short


def seconds(pattern: re.Pattern[str] | re.Pattern[bytes], start: str, unit: str, *, length: int) -> float:
    text = start + unit * (length // len(unit)) + "\0"
    given = text.encode() if isinstance(pattern.pattern, bytes) else text
    begun = time.thread_time()
    pattern.search(given)  # type: ignore[arg-type]  # as its pattern is
    return time.thread_time() - begun
