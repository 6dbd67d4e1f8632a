"""Latency while the key sets of twenty realms a second are renewed ÷ idle.

    python -m benchmarks.refresh [--seconds N] [--rounds N] [--json]

Two servers have the same 200 realms: one with a key lifetime of an hour, and one with 12.5 seconds, so that it fetches,
parses and stores twenty key sets a second under load. The result is the median ratio of the rounds. Then two counts:
fetches of one realm for 200 concurrent cold requests, and for 500 unknown kids. The exit code is 1 if a bound is
exceeded. Needs wrk.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.load import LOAD_CORE, SERVER_CORE, Measured, on_core, onboard, wrk
from benchmarks.report import parser, report
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.errors import TokenError
from tests.support.realms import dev_realms
from tests.support.serving import Served, serving
from tests.support.verifying import Stage

REALMS, KEY_LIFETIME_SECONDS = 200, 12.5
RENEWAL_SECONDS = 0.8 * KEY_LIFETIME_SECONDS
TOKEN_LIFETIME_SECONDS = 7200  # longer than any run
MOST = {"p99 while renewing / idle": 1.25, "fetches for 200 cold requests": 1, "fetches for 500 invented kids": 1}


def renewing(*, seconds: float, rounds: int) -> dict[str, Any]:
    """Two servers on one core, under load in turn."""
    names = [f"r{number:03}" for number in range(REALMS)]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="refresh-")))
        server = stack.enter_context(dev_realms(*names))
        copies = []
        for lifetime in (3600.0, KEY_LIFETIME_SECONDS):
            place = folder / str(lifetime)
            place.mkdir()
            more = {"TENANTS_KEY_LIFETIME": str(lifetime), "TENANTS_RECONCILE_INTERVAL": "0"}
            with on_core(SERVER_CORE):
                copies.append(stack.enter_context(serving(place, server, workers=1, **more)))
        for one in copies:
            for realm in server.realms.values():
                onboard(one.base_url, realm)
        os.sched_setaffinity(0, {LOAD_CORE})  # the realms run in this process
        ends = {"exp": int(time.time()) + TOKEN_LIFETIME_SECONDS}
        tokens = [realm.mint(claims=ends) for realm in server.realms.values()]
        pairs: list[list[Measured]] = []
        renewals = 0.0
        for _ in range(rounds):
            pair = []
            time.sleep(2 * KEY_LIFETIME_SECONDS)  # ends renewals of the second server, which needs requests for them
            for one in copies:
                spread(one, tokens)
                before = fetched(one)
                pair.append(wrk(f"{one.base_url}/v1/me", tokens=tokens, folder=folder, seconds=seconds))
                renewals += fetched(one) - before
            pairs.append(pair)
    return {
        "p99 while renewing / idle": median(busy.p99 / idle.p99 for idle, busy in pairs),
        "p50 while renewing / idle": median(busy.p50 / idle.p50 for idle, busy in pairs),
        "rps while renewing / idle": median(busy.rps / idle.rps for idle, busy in pairs),
        "p99 idle, ms": median(idle.p99 for idle, _ in pairs),
        "renewals a second": renewals / (rounds * seconds),
    }


def spread(served: Served, tokens: list[str]) -> None:
    """Use the realms until their renewals are spread evenly, as in steady operation.

    One pass takes the interval of a renewal; then each realm is used every second, so that it is renewed when due.
    """
    begun = time.monotonic()
    for number, raw in enumerate(itertools.cycle(tokens)):
        served.call("GET", "/v1/me", token=raw).raise_for_status()
        pause = RENEWAL_SECONDS / REALMS if number < REALMS else 1 / REALMS
        begun += pause
        time.sleep(max(0.0, begun - time.monotonic()))
        if number >= REALMS * (1 + 1.5 * RENEWAL_SECONDS):
            return


def fetched(served: Served) -> float:
    """The number of fetched key sets, by the metric."""
    lines = served.call("GET", "/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("tenants_jwks_fetches_total"))


async def counts() -> dict[str, int]:
    """Fetches of one realm, for cold requests and for unknown kids."""
    cold = Stage()
    await asyncio.gather(
        *(cold.verifier.verify(Credential.bearer(cold.token(jti=str(number)))) for number in range(200))
    )
    warm = Stage()
    await warm.verifier.verify(Credential.bearer(warm.token()))
    await refused(warm, "first")  # causes a fetch; the following ones are within its cooldown
    before = warm.world.fetches[warm.issuer("acme")]
    await asyncio.gather(*(refused(warm, f"kid-{number}") for number in range(500)))
    return {
        "fetches for 200 cold requests": cold.world.fetches[cold.issuer("acme")],
        "fetches for 500 invented kids": warm.world.fetches[warm.issuer("acme")] - before,
    }


async def refused(stage: Stage, kid: str) -> None:
    try:
        await stage.verifier.verify(Credential.bearer(stage.keys["acme"].token(stage.claims(), kid=kid)))
    except TokenError:
        return
    raise RuntimeError("a token with an unknown kid was accepted")


def main() -> int:
    options = parser("benchmarks.refresh", __doc__, rounds=5)
    options.add_argument("--seconds", type=float, default=5.0, help="of each half of a round")
    arguments = options.parse_args()
    found = renewing(seconds=arguments.seconds, rounds=arguments.rounds) | asyncio.run(counts())
    return report(found, most=MOST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
