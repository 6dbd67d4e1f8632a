"""Whether the simulation finds each fault that it was made for; run by scripts/mutate --simulation, not by pytest.

Each mending of tests/simulation/mendings.toml is taken out of a copy of the tree, where runs must break a promise
within a minute of CPU time. With all of them in place, as many runs break none.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from tests.mutate import ROOT, copy_tree
from tests.support.edits import Edit

LIST = ROOT / "tests" / "simulation" / "mendings.toml"
CPU_SECONDS = 60.0
WHOLE_STEPS = 400_000  # with all mendings in place: more than a minute's
SEED = 1


@dataclass(frozen=True, slots=True)
class Mending:
    """What keeps a fault out, and the edits that bring it back. `seed` is the first of its runs."""

    name: str
    rule: str
    edits: tuple[Edit, ...]
    seed: int = SEED

    def take_out(self, tree: Path) -> dict[Path, str]:
        """Edit the tree; gives what its files held."""
        before: dict[Path, str] = {}
        for edit in self.edits:
            path = edit.path(tree)
            before.setdefault(path, path.read_text(encoding="utf-8"))
            path.write_text(edit.made_in(tree), encoding="utf-8")
        return before


def listed() -> list[Mending]:
    """The list, in its order."""
    entries = tomllib.loads(LIST.read_text(encoding="utf-8"))["mending"]
    return [
        Mending(one["name"], one["rule"], tuple(Edit(**edit) for edit in one["edit"]), one.get("seed", SEED))
        for one in entries
    ]


def prove(only: str = "") -> int:
    """Print what was found without each mending whose name holds `only`; 1 when a fault can go unnoticed."""
    chosen = [mending for mending in listed() if only in mending.name]
    unnoticed = 0
    with tempfile.TemporaryDirectory(prefix="simulation-proof-") as folder:
        tree = copy_tree(Path(folder))
        whole = _search(tree, seed=SEED, limits=("--steps", str(WHOLE_STEPS)))
        print(f"{'all mendings in place':<60} {_told(whole)}", flush=True)
        for mending in chosen:
            before = mending.take_out(tree)
            found = _search(tree, seed=mending.seed, limits=("--cpu-seconds", str(CPU_SECONDS)))
            for path, source in before.items():
                path.write_text(source, encoding="utf-8")
            unnoticed += not found["broken"]
            print(f"{mending.rule:<4} {mending.name:<55} {_told(found)}", flush=True)
    print(f"\n{len(chosen)} mendings taken out one by one; {len(chosen) - unnoticed} faults were found")
    return 1 if unnoticed or whole["broken"] or not chosen else 0


def _told(found: dict[str, object]) -> str:
    broken = found["broken"]
    first = next(iter(broken.values())) if isinstance(broken, dict) and broken else "! nothing found"
    return f"{found['runs']} runs, {found['cpu_seconds']} CPU s: {str(first).splitlines()[0][:160]}"


def _search(tree: Path, *, seed: int, limits: tuple[str, ...]) -> dict[str, object]:
    result = tree / "build" / "simulation.json"
    result.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.simulation.campaign", "--first", "--seed", str(seed), *limits]
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if not result.exists():
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-4000:])
    found: dict[str, object] = json.loads(result.read_text(encoding="utf-8"))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutate --simulation", description=__doc__)
    parser.add_argument("--only", default="", metavar="TEXT", help="mendings whose name holds this")
    return prove(parser.parse_args().only)


if __name__ == "__main__":
    sys.exit(main())
