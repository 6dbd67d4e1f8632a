"""Many runs with one seed after the other, until so many steps were simulated; every broken promise is explained."""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.simulation.report import Finding, explained
from tests.simulation.run import Result, run

MOST_FINDINGS = 5  # explained in one campaign: each takes some hundred runs


@dataclass
class Campaign:
    """What was simulated, and what was found. `cpu_seconds` are those of the runs, without the shrinking."""

    seed: int
    runs: int = 0
    steps: int = 0
    accepted: int = 0
    refused: int = 0
    cpu_seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)
    broken: dict[int, str] = field(default_factory=dict)  # by seed

    def add(self, result: Result) -> None:
        self.runs += 1
        self.steps += result.steps
        self.accepted += result.verdicts[0]
        self.refused += result.verdicts[1]
        self.cpu_seconds += result.seconds
        if result.broken:
            self.broken[result.seed] = result.broken

    @property
    def steps_per_second(self) -> int:
        return round(self.steps / self.cpu_seconds) if self.cpu_seconds else 0

    def __str__(self) -> str:
        return (
            f"{self.runs} runs, {self.steps} steps ({self.steps_per_second} a CPU second), {self.accepted} tokens "
            f"accepted and {self.refused} refused, {len(self.broken)} runs broke a promise"
        )

    def as_json(self) -> dict[str, Any]:
        shown = [
            {**asdict(one), "story": list(one.story), "actions": list(map(str, one.actions))} for one in self.findings
        ]
        return {
            **{name: getattr(self, name) for name in ("seed", "runs", "steps", "accepted", "refused")},
            "cpu_seconds": round(self.cpu_seconds, 1), "steps_per_second": self.steps_per_second,
            "broken": self.broken, "findings": shown,
        }  # fmt: skip


def search(campaign: Campaign, *, more: Callable[[Campaign], bool], explain: bool = True) -> Campaign:
    """One run after the other as long as `more` says so."""
    while more(campaign):
        result = run(campaign.seed + campaign.runs)
        campaign.add(result)
        if result.broken and explain and len(campaign.findings) < MOST_FINDINGS:
            campaign.findings.append(explained(result))
    return campaign


def main(arguments: list[str] | None = None, *, prog: str = "scripts/fuzz --simulation") -> int:
    """Ends with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("--steps", type=int, default=5_000_000, help="steps after which no further run begins")
    parser.add_argument("--runs", type=int, default=None, help="runs at most")
    parser.add_argument(
        "--seed", type=int, default=None, help="seed of the first run; the next one has the next number"
    )
    parser.add_argument("--first", action="store_true", help="stop at the first broken promise, and do not explain it")
    parser.add_argument("--cpu-seconds", type=float, default=None, help="CPU time after which no further run begins")
    parser.add_argument(
        "--result", type=Path, default=Path("build/simulation.json"), help="where the result is written"
    )
    chosen = parser.parse_args(arguments)
    campaign = Campaign(chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(2**31))
    print(f"seed {campaign.seed}", flush=True)
    last = time.monotonic()

    def more(so_far: Campaign) -> bool:
        nonlocal last
        if time.monotonic() - last > 60:
            last = time.monotonic()
            print(so_far, flush=True)
        return (
            so_far.steps < chosen.steps
            and (chosen.runs is None or so_far.runs < chosen.runs)
            and (chosen.cpu_seconds is None or so_far.cpu_seconds < chosen.cpu_seconds)
            and not (chosen.first and so_far.broken)
        )

    search(campaign, more=more, explain=not chosen.first)
    chosen.result.parent.mkdir(parents=True, exist_ok=True)
    chosen.result.write_text(json.dumps(campaign.as_json(), indent=1), "utf-8")
    for finding in campaign.findings:
        print(f"\n{finding}")
    for seed, broken in campaign.broken.items():
        print(f"BROKEN seed {seed}: {broken}")
    print(f"{campaign}: {chosen.result}")
    return 1 if campaign.broken else 0


if __name__ == "__main__":
    sys.exit(main())
