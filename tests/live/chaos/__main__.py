"""The long run of all faults; run by scripts/chaos. Writes docs/resilience.md from what it counted."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.live.chaos.faults import FAULTS, Fault
from tests.live.chaos.stage import LIFETIME, NOTICED, Stage, chaos_realms, chaos_stage
from tests.live.keycloak_server import DEFAULT_VERSION, KeycloakServer, running_keycloak
from tests.support.postgres import find_binaries
from tests.support.restartable_postgres import restartable_postgres

PAGE = Path(__file__).parents[3] / "docs" / "resilience.md"
BEGIN, END = "<!-- counted by scripts/chaos -->\n", "<!-- end -->\n"


@dataclass
class Total:
    """One fault over all its times."""

    times: int = 0
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    calm_refused: Counter[str] = field(default_factory=Counter)
    forged_accepted: int = 0
    mistakes: int = 0
    lost: int = 0
    failures: list[str] = field(default_factory=list)

    def row(self, fault: Fault) -> str:
        refused, calm = sum(self.refused.values()), sum(self.calm_refused.values())
        kept = "yes" if not self.failures else f"no, {len(self.failures)} of {self.times}"
        counts = f"{self.times} | {self.answered} | {refused} | {calm} | {self.forged_accepted} | {self.mistakes}"
        return f"| {fault.name} | {counts} | {self.lost} | {kept} |"


def once(stage: Stage, fault: Fault, total: Total) -> None:
    total.times += 1
    failure = None
    with stage.counting() as counts:
        try:
            fault.happen(stage)
        except AssertionError as error:
            failure = (str(error).splitlines() or ["an expectation of the fault itself"])[0]
        except httpx.HTTPError as error:  # the rest of the long run is worth having
            failure = f"the fault could not be made: {error!r}"
    total.answered += counts.answered
    total.refused += counts.refused
    total.calm_refused += counts.calm_refused
    total.forged_accepted += counts.forged_accepted
    total.mistakes += counts.mistakes
    total.lost += counts.lost
    failure = failure or counts.broken(ends_api=fault.ends_api)
    if failure:
        log = stage.folder / f"failed-{time.strftime('%H%M%S')}.log"
        log.write_bytes(b"".join(stage.process.log))
        total.failures.append(f"{failure} ({log})")
    print(
        f"{time.strftime('%H:%M:%S')} {fault.name:<40} {counts.answered:>5} good, "
        f"{dict(counts.refused)} refused, {dict(counts.calm_refused)} of the other, {failure or 'as promised'}",
        flush=True,
    )


@contextmanager
def stages(keycloak: KeycloakServer, database: str) -> Iterator[Stage]:
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    if database == "sqlite":
        with chaos_stage(keycloak, folder=folder, noticed=NOTICED) as stage:
            yield stage
        return
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("no PostgreSQL here: apt-get install postgresql")
    with (
        restartable_postgres(binaries) as postgres,
        chaos_stage(keycloak, folder=folder, postgres=postgres, noticed=NOTICED) as stage,
    ):
        yield stage


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--times", type=int, default=10, help="how often each fault happens")
    parser.add_argument("--only", default="", metavar="TEXT", help="faults whose name holds this; writes no page")
    arguments = parser.parse_args()
    chosen = [fault for fault in FAULTS if arguments.only in fault.name]
    totals = {fault.name: Total() for fault in chosen}
    version = os.environ.get("TENANTS_TEST_KEYCLOAK_VERSION") or DEFAULT_VERSION
    begun = time.monotonic()
    with running_keycloak(version, folder=Path(tempfile.mkdtemp(prefix="chaos-")), realms=chaos_realms()) as keycloak:
        for database in ("sqlite", "postgres"):
            mine = [fault for fault in chosen if fault.database == database]
            if not mine:
                continue
            with stages(keycloak, database) as stage:
                for _ in range(arguments.times):
                    stage.tidy()
                    for fault in mine:
                        once(stage, fault, totals[fault.name])
    rows = [totals[fault.name].row(fault) for fault in chosen]
    minutes = (time.monotonic() - begun) / 60
    print("\n".join(rows), f"\n{minutes:.0f} minutes")
    if not arguments.only:
        _write(rows, version=version, times=arguments.times, minutes=minutes)
    for name, total in totals.items():
        for failure in total.failures:
            print(f"! {name}: {failure}")
    return 1 if not chosen or any(total.failures for total in totals.values()) else 0


def _write(rows: list[str], *, version: str, times: int, minutes: float) -> None:
    head = (
        f"Counted on {datetime.datetime.now(datetime.UTC):%Y-%m-%d} by `scripts/chaos --times {times}` in "
        f"{minutes:.0f} minutes: Keycloak {version}, Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"two workers, a key lifetime of {LIFETIME:g} s.\n\n"
        "| fault | times | good tokens accepted | refused | of the other tenant refused | forged accepted "
        "| mistakes logged | calls without an answer | kept its promise |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + head + "\n".join(rows) + "\n" + END + after, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
