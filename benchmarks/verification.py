"""What verifying a token costs beside the signature alone, and what a remembered one costs in time, memory and pauses.

    python -m benchmarks.verification [--rounds N] [--json]

The tokens have the claims that a real Keycloak put into its own (tests/data), each with another `jti`. Every kind is
measured in each round beside `public_key.verify` of the same tokens; the middle ratio counts. Cold is a verification
without the cache of verified tokens; `first / raw` is one with it, which the token is looked for in and put into. Ends
with 1 when a bound is passed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.report import middles, parser, report
from tenants_api.clocks import Clocks
from tenants_api.tokens.authenticator import Authenticated
from tenants_api.tokens.cache import VerifiedTokens
from tenants_api.tokens.credentials import BEARER, Credential
from tenants_api.tokens.decode import decode_unverified
from tests.support.tokens import Key, jwks
from tests.support.verifying import Stage

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "tests" / "data" / "keycloak-samples.json"
PER_ROUND = 300
LARGER = 1274  # bytes of claims: those of a user in a few groups
REMEMBERED = 50_000
ALGORITHMS = ("RS256", "ES256", "EdDSA")
MOST = {
    "RS256, cold / raw": 1.7,
    "RS256, cold / raw, without the extra": 1.9,
    "ES256, cold / raw": 1.25,
    "EdDSA, cold / raw": 1.2,
    "remembered / raw RS256": 0.13,
    "bytes of a remembered token": 600.0,
    "longest pause / claims kept": 0.1,
}


def sample_claims() -> dict[str, Any]:
    """Claims of a password grant as Keycloak made them."""
    claims: dict[str, Any] = json.loads(SAMPLES.read_text(encoding="utf-8"))["access_token_password"]["claims"]
    return claims


def larger_claims(size: int) -> dict[str, Any]:
    """The same of a user in so many groups that the claims take at least so many bytes; groups come as paths."""
    claims, groups = sample_claims(), list[str]()
    while groups == [] or len(compact(claims | {"groups": groups})) < size:
        groups.append(f"/customers/north/teams/team-{len(groups):02}")
    return claims | {"groups": groups}


def keycloak_claims(stage: Stage) -> dict[str, Any]:
    """The same, of the stage's realm and time."""
    now = int(time.time())
    return sample_claims() | {"iss": stage.issuer("acme"), "iat": now - 10, "exp": now + 290}


def compact(claims: dict[str, Any]) -> bytes:
    """As Keycloak writes them: without white space."""
    return json.dumps(claims, separators=(",", ":"), ensure_ascii=False).encode()


class Kind:
    """One algorithm: a verifier whose realm signs with it, and the bare check of the signature."""

    def __init__(self, algorithm: str, *, cached: bool = True) -> None:
        self.stage, self.key = Stage(cached=cached, clocks=Clocks()), Key("acme", algorithm=algorithm)
        self.stage.world.answers[self.stage.issuer("acme")] = jwks(self.key)
        self.stage.add("acme", algorithms=frozenset(ALGORITHMS))
        self._claims, self._made = keycloak_claims(self.stage), 0
        self._public = self.key.private.public_key()
        self._check = {"RS256": self._rsa, "ES256": self._ecdsa, "EdDSA": self._eddsa}[algorithm]

    def tokens(self, count: int) -> list[str]:
        """So many that nobody has seen."""
        first, self._made = self._made, self._made + count
        return [self.key.token(compact(self._claims | {"jti": f"onrtro:{n}"})) for n in range(first, first + count)]

    def raw(self, tokens: list[str]) -> float:
        """Microseconds of one bare check."""
        parts = [(token.signature, token.signing_input) for token in map(decode_unverified, map(str.encode, tokens))]
        begun = time.perf_counter()
        for signature, data in parts:
            self._check(signature, data)
        return (time.perf_counter() - begun) / len(parts) * 1e6

    async def verified(self, tokens: list[str]) -> float:
        """Microseconds of one verification, whether remembered or not."""
        credentials = [Credential(BEARER, raw.encode("ascii")) for raw in tokens]
        begun = time.perf_counter()
        for credential in credentials:
            await self.stage.verifier.verify(credential)
        return (time.perf_counter() - begun) / len(tokens) * 1e6

    def _rsa(self, signature: bytes, data: bytes) -> None:
        self._public.verify(signature, data, padding.PKCS1v15(), SHA256())

    def _ecdsa(self, signature: bytes, data: bytes) -> None:
        half = len(signature) // 2
        pair = (int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))
        self._public.verify(utils.encode_dss_signature(*pair), data, ec.ECDSA(SHA256()))

    def _eddsa(self, signature: bytes, data: bytes) -> None:
        self._public.verify(signature, data)


async def times(rounds: int, *, algorithms: Sequence[str] = ALGORITHMS) -> dict[str, float]:
    """Ratios, and the fastest round of each in microseconds."""
    kinds = {algorithm: Kind(algorithm, cached=False) for algorithm in algorithms}
    cached = Kind("RS256")
    for kind in (*kinds.values(), cached):
        await kind.verified(kind.tokens(10))  # the keys are there
    ratios: dict[str, list[float]] = {}
    fastest: dict[str, float] = {}

    def note(name: str, value: float, *, raw: float) -> None:
        ratios.setdefault(name, []).append(value / raw)
        fastest[name] = min(value, fastest.get(name, value))

    for _ in range(rounds):
        for algorithm, kind in kinds.items():
            tokens = kind.tokens(PER_ROUND)
            raw = kind.raw(tokens)
            note(f"{algorithm}, cold / raw", await kind.verified(tokens), raw=raw)
            fastest[f"{algorithm} raw"] = min(raw, fastest.get(f"{algorithm} raw", raw))
        tokens = cached.tokens(PER_ROUND)
        raw = cached.raw(tokens)
        note("RS256, first / raw", await cached.verified(tokens), raw=raw)
        note("remembered / raw RS256", await cached.verified(tokens), raw=raw)
    return middles(ratios) | {f"us, {name.removesuffix(' / raw')}": value for name, value in fastest.items()}


def without_extra(rounds: int) -> dict[str, float]:
    """The first ratio where the extra `fast` is not installed: an interpreter of its own, in which it is not found."""
    code = "import asyncio, sys; sys.modules['orjson'] = sys.modules['pybase64'] = None; "
    code += "from benchmarks.verification import times; "
    code += f"print(asyncio.run(times({rounds}, algorithms=('RS256',)))['RS256, cold / raw'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {"RS256, cold / raw, without the extra": float(done.stdout)}


async def kept() -> dict[str, float]:
    """Memory of a remembered token, and the longest collection beside a cache that keeps claims."""
    kind = Kind("RS256")
    principals, claims = [], []
    for raw in kind.tokens(500):
        principals.append(await kind.stage.verifier.verify(Credential.bearer(raw)))
        claims.append(decode_unverified(raw.encode()).claims)
    realm = kind.stage.snapshot.find(kind.stage.issuer("acme"))
    if realm is None:
        raise RuntimeError("the realm is gone")

    def remember() -> VerifiedTokens:
        cache = VerifiedTokens(2 * REMEMBERED, clocks=Clocks())
        for number in range(REMEMBERED):
            one = principals[number % len(principals)]
            # A principal of its own, as each token has; what its texts share with others they share in life too.
            own = type(one)(**{name: getattr(one, name) for name in one._fields} | {"subject": f"subject-{number:036}"})
            entry = Authenticated(own, realm, 0, own.expires_at, any_path=True)
            cache.put(sha256(b"%d" % number).digest(), entry=entry, tenant=None)
        return cache

    def keep_claims() -> dict[bytes, Any]:
        return {sha256(b"%d" % n).digest(): json.loads(json.dumps(claims[n % len(claims)])) for n in range(REMEMBERED)}

    gc.collect()
    tracemalloc.start()
    cache = remember()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del cache
    pauses = [pause(remember), pause(keep_claims)]
    return {"bytes of a remembered token": size / REMEMBERED, "longest pause / claims kept": pauses[0] / pauses[1]}


def pause(fill: Callable[[], Any]) -> float:
    """Seconds of a full collection while what `fill` made is alive; the fastest of five."""
    gc.collect()
    gc.freeze()  # all that was there before
    held = fill()
    taken = []
    for _ in range(5):
        begun = time.perf_counter()
        gc.collect()
        taken.append(time.perf_counter() - begun)
    del held
    gc.unfreeze()
    return min(taken)


def main() -> int:
    arguments = parser("benchmarks.verification", __doc__, rounds=11).parse_args()
    found = asyncio.run(times(arguments.rounds)) | without_extra(arguments.rounds) | asyncio.run(kept())
    return report(found, most=MOST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
