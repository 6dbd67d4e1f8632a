"""Floods of hostile tokens at the verifier: what they make it fetch, and what they leave in memory.

Used by a short test and by scripts/fuzz; knows no HTTP. Two realms: one is flooded, the other must not notice.
"""

from __future__ import annotations

import asyncio
import gc
import json
import secrets
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.support.tokens import Key, b64, jwks
from tests.support.verifying import Stage

WARM_UP = 2_000  # requests after which dictionaries and pools have the size that they need


@dataclass(frozen=True, slots=True)
class Flood:
    """What a flood did. `growth` is bytes that stayed allocated after the warm-up; `fetches` went to the flooded realm."""

    requests: int
    seconds: float
    outcomes: dict[str, int]
    fetches: int
    other_fetches: int
    growth: int
    jwks_cache: int


def _token(kid: str, claims: bytes) -> str:
    head = json.dumps({"alg": "EdDSA", "kid": kid, "typ": "JWT"}).encode()
    return f"{b64(head)}.{b64(claims)}.{b64(secrets.token_bytes(64))}"


def hostile(stage: Stage, key: Key) -> dict[str, Callable[[], str]]:
    """Makers of tokens that were never seen before, by what is wrong with them."""
    good = json.dumps(stage.claims()).encode()
    elsewhere = stage.claims()
    wrong = key.token(stage.claims(aud="account"))

    def unknown_issuer() -> str:
        claims = {**elsewhere, "iss": f"https://{secrets.token_hex(8)}.example/realms/x"}
        return _token(key.id, json.dumps(claims).encode())

    return {
        "unknown_key": lambda: _token(secrets.token_hex(8), good),
        "unknown_issuer": unknown_issuer,
        "bad_signature": lambda: _token(key.id, good),
        "not_three_segments": lambda: secrets.token_urlsafe(300),
        "not_base64url": lambda: _token(key.id, good) + "=",
        "wrong_audience": lambda: wrong,
    }


def _in_turn(makers: dict[str, Callable[[], str]], count: int) -> Iterator[str]:
    kinds = list(makers.values())
    for number in range(count):
        yield kinds[number % len(kinds)]()


async def flood(count: int, *, only: str | None = None, cached: bool = True) -> Flood:
    """Send `count` hostile tokens after a warm-up of the same kind; one good token in a thousand must be accepted."""
    stage = Stage(cached=cached)
    key = Key("flooded", algorithm="EdDSA")
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    stage.keys["acme"] = key
    stage.add("acme", algorithms=frozenset({"EdDSA"}))
    good = {name: stage.token(name) for name in ("acme", "globex")}
    for name, raw in good.items():
        assert await stage.outcome(raw) == f"accepted:{name}"
    makers = hostile(stage, key)
    chosen = makers if only is None else {only: makers[only]}
    outcomes: Counter[str] = Counter()
    await _send(stage, _in_turn(chosen, WARM_UP), good=good, outcomes=outcomes)
    outcomes.clear()
    gc.collect()
    tracemalloc.start()
    fetches, begun = Counter(stage.world.fetches), time.monotonic()
    before = tracemalloc.get_traced_memory()[0]
    await _send(stage, _in_turn(chosen, count), good=good, outcomes=outcomes)
    gc.collect()
    growth = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    made = Counter(stage.world.fetches) - fetches
    stage.jwks_cache.cancel()
    return Flood(
        requests=count,
        seconds=time.monotonic() - begun,
        outcomes=dict(outcomes),
        fetches=made[stage.issuer("acme")],
        other_fetches=made.total() - made[stage.issuer("acme")],
        growth=growth,
        jwks_cache=len(list(stage.jwks_cache)),
    )


async def _send(stage: Stage, tokens: Iterator[str], *, good: dict[str, str], outcomes: Counter[str]) -> None:
    for number, raw in enumerate(tokens):
        outcomes[await stage.outcome(raw)] += 1
        if number % 1000 == 0:
            for name, honest in good.items():
                assert await stage.outcome(honest) == f"accepted:{name}"
            await asyncio.sleep(0)  # what waits for its turn in the background gets it


def fetch_bound(result: Flood) -> int:
    """A fetch a second for the sake of unknown kids, and the first few looks."""
    return int(result.seconds) + 5
