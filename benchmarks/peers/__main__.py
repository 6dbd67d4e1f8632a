"""Requests a second of this product ÷ those of other packages.

    python -m benchmarks.peers [--rounds N] [--seconds N] [--claims N] [--json]

One worker at a time is under load, on one core; wrk with 32 connections and the realm are on the other. Every peer
serves the same FastAPI route, first gets a valid and a forged token, and is warm before it is measured. This product is
measured twice: with its cache of tokens, and without (`TENANTS_VERIFIED_TOKENS=0`), as if every token were new. The
claims (1.3 kB) are of a user in some groups; `--claims 0` is without groups. The exit code is 1 if a bound is
exceeded. Needs wrk, and pip's registry once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from benchmarks.library import PATH
from benchmarks.load import LOAD_CORE, cpu_seconds, wrk
from benchmarks.peers.serving import OURS, REALM, UNCACHED, started
from benchmarks.report import middles, parser, report
from benchmarks.verification import LARGER_CLAIMS_BYTES, compact, larger_claims, sample_claims
from tenants_api.devkit.realms import DevRealm
from tests.support.realms import dev_realms
from tests.support.stack import CLIENT_ID, bearer

TOKENS = 200
TOKEN_LIFETIME_SECONDS = 3600  # longer than the run
KEYCLOAK = ("userinfo", "introspect", "decode_token", "fastapi-keycloak-middleware", "fastapi-keycloak")
PEERS = (*KEYCLOAK, "python-jose", "python-jose, async", "PyJWKClient", "authlib", "joserfc")
# Name, variant of this product, peers of which the best is taken, minimum.
RATIOS = (
    ("remembered ÷ userinfo", OURS, ("userinfo",), 7.0),
    ("remembered ÷ python-jose", OURS, ("python-jose",), 3.0),
    ("remembered ÷ best Keycloak package", OURS, KEYCLOAK, 3.0),
    ("remembered ÷ best peer", OURS, PEERS, 1.8),
    ("every token new ÷ best Keycloak package", UNCACHED, KEYCLOAK, 2.0),
    ("every token new ÷ best peer", UNCACHED, PEERS, 1.2),
)
Rates = dict[str, list[float]]


def minted(realm: DevRealm, *, size: int) -> list[str]:
    """Tokens of this realm and time, with claims of a real Keycloak."""
    claims = larger_claims(size) if size else sample_claims()
    now = int(realm.clock())
    claims |= {"iss": realm.issuer, "iat": now - 10, "exp": now + TOKEN_LIFETIME_SECONDS}
    if CLIENT_ID not in claims["aud"]:
        raise RuntimeError(f"the sample is for {claims['aud']}, not for {CLIENT_ID}")
    tokens = [realm.keys.encode(claims | {"jti": f"onrtro:{number:036}"}) for number in range(TOKENS)]
    if len(tokens[0]) < len(compact(claims)) * 4 / 3:
        raise RuntimeError("a token is shorter than its claims")
    return tokens


def status_of_forged(url: str, *, good: str, forged: str) -> float:
    """The status for a forged token. Raises RuntimeError if the valid one is refused."""
    found = [httpx.get(f"{url}{PATH}", headers=bearer(raw), timeout=30, trust_env=False) for raw in (good, forged)]
    if found[0].status_code != 200:
        raise RuntimeError(f"{url} responded with {found[0].status_code} to a valid token: {found[0].text[:200]}")
    return float(found[1].status_code)


def forged(tokens: Sequence[str]) -> str:
    """The first token with the signature of the second."""
    return f"{tokens[0].rpartition('.')[0]}.{tokens[1].rpartition('.')[2]}"


def measured(*, rounds: int, seconds: float, size: int) -> dict[str, float]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="peers-")))
        realms = stack.enter_context(dev_realms(REALM))
        tokens = minted(realms.realm(REALM), size=size)
        asked = started(stack, realms=realms, peers=PEERS, folder=folder)
        os.sched_setaffinity(0, {LOAD_CORE})
        told = {name: status_of_forged(url, good=tokens[0], forged=forged(tokens)) for name, (url, _) in asked.items()}
        for url, _ in asked.values():  # warm-up with all tokens, none of which is refused
            wrk(f"{url}{PATH}", tokens=tokens, folder=folder, seconds=1)
        rps: Rates = {name: [] for name in asked}
        spent: Rates = {name: [] for name in asked}
        for _ in range(rounds):
            for name, (url, process) in asked.items():
                before = cpu_seconds([process])
                rate = wrk(f"{url}{PATH}", tokens=tokens, folder=folder, seconds=seconds).rps
                rps[name].append(rate)
                spent[name].append((cpu_seconds([process]) - before) / (rate * seconds) * 1e6)
    return (
        figures(rps)
        | {f"us of CPU, {name}": median(values) for name, values in spent.items()}
        | {f"status of a forged token, {name}": status for name, status in told.items()}
        | {"bytes of a token": float(len(tokens[0]))}
    )


def ratio(rps: Rates, *, ours: str, peer: str) -> float:
    """The median ratio of the rounds."""
    return median(ratios(rps, ours=ours, peer=peer))


def ratios(rps: Rates, *, ours: str, peer: str) -> list[float]:
    """The ratio of each round."""
    return [one / other for one, other in zip(rps[ours], rps[peer], strict=True)]


def best_of(rps: Rates, *, ours: str, peers: Sequence[str]) -> str:
    """The peer with the smallest ratio."""
    return min(peers, key=lambda peer: ratio(rps, ours=ours, peer=peer))


def figures(rps: Rates) -> dict[str, float]:
    """The ratios with a bound, the best peers, and the ratio to each."""
    best = {name: best_of(rps, ours=ours, peers=peers) for name, ours, peers, _ in RATIOS}
    bounded = middles({name: ratios(rps, ours=ours, peer=best[name]) for name, ours, _, _ in RATIOS})
    who = {
        f"requests a second, {name.partition(' ÷ ')[2]} ({best[name]})": median(rps[best[name]])
        for name, ours, peers, _ in RATIOS
        if ours == OURS and len(peers) > 1
    }
    each = {f"{ours} ÷ {peer}": ratio(rps, ours=ours, peer=peer) for ours in (OURS, UNCACHED) for peer in PEERS}
    return bounded | who | each


def main() -> int:
    options = parser("benchmarks.peers", __doc__, rounds=5)
    options.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    options.add_argument(
        "--claims", type=int, default=LARGER_CLAIMS_BYTES, help="bytes of a token's claims; 0: of a user in no group"
    )
    arguments = options.parse_args()
    found = measured(rounds=arguments.rounds, seconds=arguments.seconds, size=arguments.claims)
    return report(found, most={}, least={name: least for name, _, _, least in RATIOS}, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
