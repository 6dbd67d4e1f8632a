"""Standalone forward auth ÷ the full API: memory and start of their processes on the same database.

Start is the time, and the CPU time, from the start of the process to its first response at /livez; memory is resident
and proportional (shared pages by share) after a hundred responses.
    python -m benchmarks.authz_only
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from benchmarks.load import cpu_seconds
from tenants_api.database.migrations import upgrade

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = {
    "full": ("-m", "tenants_api.cli", "serve"),
    "alone": ("-m", "tenants_api.cli", "serve", "--authz-only"),
}


@dataclass(frozen=True, slots=True)
class Measured:
    """`start` and `cpu` are seconds, `pss` and `rss` megabytes."""

    start: float
    cpu: float
    pss: float
    rss: float


def measure(kind: str, *, folder: Path) -> Measured:
    """Start a process of this kind and measure it."""
    socket = folder / f"{kind}.sock"
    socket.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TENANTS_")}
    environment |= {
        "PYTHONPATH": str(ROOT),
        "TENANTS_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'bench.db'}",
        "TENANTS_LOG_LEVEL": "error",
    }
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *COMMANDS[kind], "--uds", str(socket)],
        env=environment,
        cwd=folder,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://bench") as client:
            _wait_for_response(client, process=process)
            start, cpu = time.monotonic() - began, cpu_seconds([process.pid])
            for _ in range(100):
                client.get("/authz", headers={"Authorization": "Bearer e30.e30.e30"})
            return Measured(start, cpu, _megabytes(process.pid, "Pss"), _megabytes(process.pid, "Rss"))
    finally:
        process.terminate()
        process.wait(20)


def _wait_for_response(client: httpx.Client, *, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            if client.get("/livez").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.01)
    raise RuntimeError(f"the process ended with {process.returncode}")


def _megabytes(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {name}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object (always)")
    rounds = parser.parse_args(arguments).rounds
    with TemporaryDirectory() as name:
        folder = Path(name)
        upgrade(f"sqlite+aiosqlite:///{folder / 'bench.db'}")
        runs: dict[str, list[Measured]] = {kind: [] for kind in COMMANDS}
        for _ in range(rounds):  # in turn, so that other load slows both
            for kind, measured in runs.items():
                measured.append(measure(kind, folder=folder))
    middle = {
        kind: {field: statistics.median(asdict(one)[field] for one in found) for field in asdict(found[0])}
        for kind, found in runs.items()
    }
    ratio = {field: round(middle["alone"][field] / middle["full"][field], 3) for field in middle["full"]}
    found = {f"{field}, alone / full": value for field, value in ratio.items()}
    found |= {f"{field}, {kind}": value for kind in middle for field, value in middle[kind].items()}
    print(json.dumps({"found": found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
