"""The long fuzz: rounds over all targets with new random inputs until the time is over; run by scripts/fuzz.

Prints counts, writes them with every finding as JSON, and ends with 1 when there is a finding. A finding's input
belongs into tests/fuzz/corpus, where every later run tries it again.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import itertools
import json
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.attacks.floods import fetch_bound, flood
from tests.fuzz.inputs import bytes_for
from tests.fuzz.registry_machine import RegistryMachine, serving_realms
from tests.fuzz.targets import TARGETS
from tests.simulation.report import explained
from tests.simulation.run import run as simulate
from tests.support.tokens import Key, jwks
from tests.support.verifying import Stage
from tests.vectors.mutations import header_pairs, single_bytes, typed_claims

BATCH = 2_000  # inputs of one target in one round
LONG_FLOOD = 200_000
FLAT = 64 * 1024  # bytes
SIMULATIONS = 5  # runs of the simulation in one round


@dataclass
class Report:
    """What was tried how often, and what was found."""

    minutes: float
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, str]] = field(default_factory=list)
    flood: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def find(self, target: str, error: BaseException, *, data: bytes | None = None) -> None:
        text = "".join(traceback.format_exception(error))[-4000:]
        shown = {"input": base64.b64encode(data).decode()} if data is not None else {}
        self.findings.append(
            {"target": target, "error": f"{type(error).__name__}: {error}"[:500], **shown, "trace": text}
        )


def _settings(examples: int, **more: Any) -> settings:
    return settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck), **more
    )


def fuzz_bytes(name: str, *, number: int, report: Report) -> None:
    """One batch of new inputs for a target. Shrinks what it finds."""
    last = b""

    @seed(number)
    @_settings(BATCH)
    @given(data=bytes_for(name))
    def attempt(data: bytes) -> None:
        nonlocal last
        last = data
        report.counts[name] += 1
        TARGETS[name](data)

    try:
        attempt()
    except Exception as error:
        report.find(name, error, data=last)


def fuzz_registry(machine: type[RegistryMachine], *, number: int, report: Report) -> None:
    """One batch of new orders of changes."""
    # Shrinking would take longer than looking on; the trace of the steps is printed.
    chosen = _settings(5, stateful_step_count=40, phases=[Phase.generate], print_blob=True)
    try:
        run_state_machine_as_test(seed(number)(machine), settings=chosen)
    except Exception as error:
        report.find("registry", error)


async def mutate(number: int, *, report: Report) -> None:
    """All that is near one new token, by a new key: nothing of it may be accepted."""
    stage = Stage()
    key = Key(f"fuzz-{number}", algorithm=random.Random(number).choice(["ES256", "EdDSA"]))
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    stage.add("acme", algorithms=frozenset({key.algorithm}))
    raw = key.token(stage.claims(jti=str(number)))
    for other in single_bytes(raw):
        stage.clock.steady += 2
        report.counts["mutations"] += 1
        if other != raw and not (found := await stage.outcome(other)).startswith("invalid_token:"):
            report.find("mutations", AssertionError(found), data=other.encode("latin-1"))
    written = itertools.chain(header_pairs(key, stage.claims()), typed_claims(key, stage.claims()))
    for _, _, other in written:
        stage.clock.steady += 2
        report.counts["signed variants"] += 1
        await stage.outcome(other)  # any outcome but an exception


def fuzz_simulation(number: int, *, report: Report) -> None:
    """Some runs of the simulation; what one finds is told with its shortest history."""
    for seed_of_run in range(number * SIMULATIONS, (number + 1) * SIMULATIONS):
        result = simulate(seed_of_run)
        report.counts["simulation: steps"] += result.steps
        if result.broken:
            report.find("simulation", AssertionError(str(explained(result))))


async def long_flood(count: int, *, report: Report) -> None:
    result = await flood(count)
    report.counts["flood"] += result.requests
    report.flood = asdict(result)
    if result.growth > FLAT or result.fetches > fetch_bound(result) or result.other_fetches:
        report.find("flood", AssertionError(json.dumps(report.flood)))


@contextmanager
def _machine(report: Report) -> Iterator[type[RegistryMachine]]:
    """The state machine on realms of its own; counts its examples and its checks."""

    class Machine(RegistryMachine):
        def teardown(self) -> None:
            report.counts["registry: orders of changes"] += 1
            report.counts["registry: tokens verified"] += self.verified
            super().teardown()

    for realms in serving_realms():
        Machine.realms = realms
        yield Machine


def run(report: Report, *, flood_requests: int, say: Callable[[str], None]) -> None:
    """Rounds until the time is over; the first one always ends."""
    begun = time.monotonic()
    if flood_requests:
        asyncio.run(long_flood(flood_requests, report=report))
        say(f"flood: {report.flood}")
    with _machine(report) as machine:
        for number in itertools.count():
            for name in TARGETS:
                fuzz_bytes(name, number=report.seed + number, report=report)
                if time.monotonic() - begun > report.minutes * 60:
                    break
            fuzz_registry(machine, number=report.seed + number, report=report)
            asyncio.run(mutate(report.seed + number, report=report))
            fuzz_simulation(report.seed + number, report=report)
            report.seconds = round(time.monotonic() - begun, 1)
            say(f"round {number + 1}: {dict(report.counts)}, {len(report.findings)} findings, {report.seconds} s")
            if report.findings or report.seconds > report.minutes * 60:
                return


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=None, help="the seed of an earlier run, to repeat it")
    parser.add_argument("--flood", type=int, default=LONG_FLOOD, metavar="N", help="requests of the flood; 0 = none")
    parser.add_argument("--result", type=Path, default=Path("build/fuzz.json"), help="where the result is written")
    arguments = parser.parse_args()
    chosen = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(2**31)
    report = Report(arguments.minutes, chosen)
    print(f"seed {report.seed}", flush=True)
    run(report, flood_requests=arguments.flood, say=lambda text: print(text, flush=True))
    arguments.result.parent.mkdir(parents=True, exist_ok=True)
    arguments.result.write_text(json.dumps({**vars(report), "counts": dict(report.counts)}, indent=1), "utf-8")
    for finding in report.findings:
        print(f"FOUND {finding['target']}: {finding['error']}")
    print(f"{report.counts.total()} inputs in {report.seconds} s, {len(report.findings)} findings: {arguments.result}")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
