"""What a refused token costs, as a share of an accepted one that was never seen before.

    python -m benchmarks.refusals [--rounds N] [--json]

Every kind is measured in each round, one after the other, and compared with the accept of the same round; the middle
ratio counts, so that what else the machine does changes little. Ends with 1 when a refusal costs more than it may.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Callable

from benchmarks.report import middles, parser, report
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.errors import TokenError
from tenants_api.tokens.verifier import TokenVerifier
from tests.support.tokens import b64
from tests.support.verifying import Stage

ACCEPT = "accepted, cold"
PER_ROUND = 200
CHEAP = {"garbage": 4000, "one long word": 2000}  # about as long a batch as the others'
# The most that a refusal may cost, in cold accepts.
LIMITS = {"garbage": 0.05, "unknown issuer": 0.5, "forged signature": 1.1}


def tokens(stage: Stage) -> dict[str, Callable[[int], str]]:
    """Makers by kind; each call gives another token."""
    key = stage.keys["acme"]
    head, _, signature = stage.token().split(".")

    def forged(number: int) -> str:
        return f"{head}.{b64(json.dumps(stage.claims(jti=str(number))).encode())}.{signature}"

    return {
        ACCEPT: lambda number: stage.token(jti=str(number)),
        "garbage": lambda number: f"garbage-{number}.{'x' * 400}.!",
        "one long word": lambda number: f"{number}" + "a" * 8000,
        "unknown issuer": lambda number: key.token(stage.claims(iss=f"https://elsewhere.example/{number}")),
        "forged signature": forged,
        "wrong algorithm": lambda number: key.token(stage.claims(jti=str(number)), alg="PS256"),
    }


async def spent(verifier: TokenVerifier, batch: list[str], *, accepted: bool) -> float:
    """Microseconds of one verification. RuntimeError when a token has the other outcome."""
    refused = 0
    begun = time.perf_counter()
    for raw in batch:
        try:
            await verifier.verify(Credential.bearer(raw))
        except TokenError:
            refused += 1
    taken = (time.perf_counter() - begun) / len(batch) * 1e6
    if refused != (0 if accepted else len(batch)):
        raise RuntimeError(f"{refused} of {len(batch)} were refused")
    return taken


async def measured(rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Microseconds of the fastest round, and the middle ratio to the accept of the same round, by kind."""
    stage = Stage()
    makers, number = tokens(stage), itertools.count()
    await stage.verifier.verify(Credential.bearer(stage.token()))  # the keys are there; only tokens are new
    taken: dict[str, list[float]] = {kind: [] for kind in makers}
    for _ in range(rounds):
        for kind, make in makers.items():
            batch = [make(next(number)) for _ in range(CHEAP.get(kind, PER_ROUND))]
            taken[kind].append(await spent(stage.verifier, batch, accepted=kind == ACCEPT))
    ratios = middles(
        {kind: [one / whole for one, whole in zip(found, taken[ACCEPT], strict=True)] for kind, found in taken.items()}
    )
    return {kind: min(found) for kind, found in taken.items()}, ratios


def main() -> int:
    arguments = parser("benchmarks.refusals", __doc__, rounds=15).parse_args()
    found, ratios = asyncio.run(measured(arguments.rounds))
    every = ratios | {f"us, {kind}": value for kind, value in found.items()}
    return report(every, most=LIMITS, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
