"""The output of a benchmark: a line for each value with its bound, or one JSON object; and the exit code."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from statistics import median

LEAST, MOST = "least", "most"


def middle(name: str, values: Iterable[float]) -> dict[str, float]:
    """The median, minimum and maximum of the rounds."""
    found = list(values)
    return {name: median(found), f"{name}, {LEAST}": min(found), f"{name}, {MOST}": max(found)}


def middles(rounds: Mapping[str, Iterable[float]]) -> dict[str, float]:
    """`middle` of several values, by name."""
    return {key: value for name, values in rounds.items() for key, value in middle(name, values).items()}


def report(
    found: Mapping[str, float], *, most: Mapping[str, float], least: Mapping[str, float] | None = None, as_json: bool
) -> int:
    """Print the values; 1 if a bound is exceeded, else 0."""
    least = least or {}
    if as_json:
        print(json.dumps({"found": found}))
    else:
        for name, value in found.items():
            bound = f"at most {most[name]:g}" if name in most else f"at least {least[name]:g}" if name in least else ""
            print(f"{name:40} {value:14,.3f}   {bound}".rstrip())
    broken = any(found[name] > bound for name, bound in most.items())
    return 1 if broken or any(found[name] < bound for name, bound in least.items()) else 0


def parser(module: str, about: str | None, *, rounds: int) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    made = argparse.ArgumentParser(
        prog=f"python -m {module}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--rounds", type=int, default=rounds)
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return made
