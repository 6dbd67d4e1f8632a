"""Whether each defence has a test that fails without it; run by scripts/mutate, not by pytest.

Works on copies of the tree: nothing here is changed. A defence counts as guarded only if its tests pass with it and
one of them fails, as a failed test and not as a broken import, without it.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from tests.support.edits import Edit

ROOT = Path(__file__).parents[1]
LIST = ROOT / "tests" / "defences.toml"
_FAILED = re.compile(r"^FAILED (.+?)(?: - .*)?$", re.MULTILINE)  # names may hold spaces
_TREE = (
    "tenants_api",
    "tests",
    "migrations",
    "examples",
    "alembic.ini",
    "pyproject.toml",
    "README.md",
    "docs",
    "deploy",
)


@dataclass(frozen=True, slots=True)
class Defence:
    """Without it (`removal` made in the tree) one of `tests` (paths, spaced) must fail."""

    name: str
    rule: str
    removal: Edit
    tests: str


def listed() -> list[Defence]:
    """The list, in its order."""
    entries = tomllib.loads(LIST.read_text(encoding="utf-8"))["defence"]
    return [Defence(one.pop("name"), one.pop("rule"), tests=one.pop("tests"), removal=Edit(**one)) for one in entries]


def failing_test(tree: Path, *, tests: str) -> str | None:
    """The first test that fails in this tree; None when all pass.

    Raises:
        RuntimeError: pytest could not run them.
    """
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not keycloak and not postgres",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(
        [*command, *tests.split()], cwd=tree, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    failed = _FAILED.search(done.stdout)
    if done.returncode == 1 and failed:
        return failed[1]
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return None


def without(defence: Defence, *, tree: Path) -> str:
    """What happened in a tree without the defence: the failing test, or why there is none (starts with `!`)."""
    path = defence.removal.path(tree)
    source = path.read_text(encoding="utf-8")
    path.write_text(defence.removal.made_in(tree), encoding="utf-8")
    try:
        return failing_test(tree, tests=defence.tests) or "! nothing fails"
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return f"! not a test that fails: {str(error).strip().splitlines()[-1][:120]}"
    finally:
        path.write_text(source, encoding="utf-8")


def copy_tree(folder: Path) -> Path:
    for name in _TREE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="defences whose name holds this")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    chosen = [defence for defence in listed() if arguments.only in defence.name]
    trees: SimpleQueue[Path] = SimpleQueue()
    unguarded = 0

    def judge(defence: Defence) -> str:
        tree = trees.get()
        try:
            return without(defence, tree=tree)
        finally:
            trees.put(tree)

    with tempfile.TemporaryDirectory(prefix="defences-") as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        for number in range(arguments.jobs):
            (Path(folder) / str(number)).mkdir()
            trees.put(copy_tree(Path(folder) / str(number)))
        whole = copy_tree_once(Path(folder) / "whole")
        everything = " ".join(sorted({path for defence in chosen for path in defence.tests.split()}))
        broken = failing_test(whole, tests=everything)
        if broken is not None:
            print(f"with all defences in place {broken} fails: nothing can be told", file=sys.stderr)
            return 1
        for defence, found in zip(chosen, pool.map(judge, chosen), strict=True):
            unguarded += found.startswith("!")
            print(f"{defence.rule:<10} {defence.name:<62} {found}", flush=True)
    print(f"\n{len(chosen)} defences removed one by one; {len(chosen) - unguarded} have a test that fails without them")
    return 1 if unguarded or not chosen else 0


def copy_tree_once(folder: Path) -> Path:
    folder.mkdir()
    return copy_tree(folder)


if __name__ == "__main__":
    sys.exit(main())
