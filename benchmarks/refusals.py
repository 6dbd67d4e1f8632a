"""The cost of a refused token ÷ that of a new accepted one.

    python -m benchmarks.refusals [--rounds N] [--json]

Every kind is measured in each round and compared with the accepted one of the round; the result is the median ratio, so
that other load changes little. The exit code is 1 if a bound is exceeded.
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
CHEAP = {"garbage": 4000, "one long word": 2000}  # batches that take about as long as the others
# The maximum cost of a refusal, in cold accepted tokens.
LIMITS = {"garbage": 0.05, "unknown issuer": 0.5, "forged signature": 1.1}


def tokens(stage: Stage) -> dict[str, Callable[[int], str]]:
    """Functions by kind; each call makes another token."""
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
    """Microseconds of one verification. Raises RuntimeError if a token has another outcome."""
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
    """Microseconds of the fastest round, and the median ratio to the accepted one of the round, by kind."""
    stage = Stage()
    makers, number = tokens(stage), itertools.count()
    await stage.verifier.verify(Credential.bearer(stage.token()))  # fetches the keys
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
