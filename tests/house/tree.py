"""The files of the checkout, for tests about the house itself: what git tracks, or the whole tree without git."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PASSED_OVER = {"__pycache__", "build", "dist", "node_modules"}


@cache
def files(folder: str = "", *, suffix: str = "") -> tuple[Path, ...]:
    """The files below a folder of the checkout, in order; never an empty answer, so that no rule passes by mistake."""
    found = tuple(path for path in _all() if path.is_relative_to(ROOT / folder) and path.name.endswith(suffix))
    assert found, f"no {suffix or 'file'} found in {ROOT / folder}"
    return found


@cache
def syntax(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _all() -> tuple[Path, ...]:
    tracked = _tracked()
    return tuple(sorted(path for path in (_walk(ROOT) if tracked is None else tracked) if path.is_file()))


def _tracked() -> list[Path] | None:
    if not (ROOT / ".git").exists():  # an unpacked archive, perhaps inside somebody else's repository
        return None
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.name in _PASSED_OVER or (entry.is_dir() and entry.name.startswith(".") and entry.name != ".ci"):
            continue
        if entry.is_dir():
            yield from _walk(entry)
        else:
            yield entry
