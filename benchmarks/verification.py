"""The cost of verifying a token ÷ its signature alone, and the cost of a cached one in time, memory and pauses.

    python -m benchmarks.verification [--rounds N] [--json]

The tokens have claims of a real Keycloak (tests/data), each with another `jti`. Every kind is measured in each round
with `public_key.verify` of the same tokens; the result is the median ratio. Cold is a verification without the cache of
verified tokens; `first / raw` is one with it, which gets and puts the token. The exit code is 1 if a bound is exceeded.
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
LARGER_CLAIMS_BYTES = 1274  # of a user in a few groups
CACHED_TOKENS = 50_000
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
    """The claims of Keycloak's token for a password grant."""
    claims: dict[str, Any] = json.loads(SAMPLES.read_text(encoding="utf-8"))["access_token_password"]["claims"]
    return claims


def larger_claims(size: int) -> dict[str, Any]:
    """The claims of a user in so many groups that they have at least `size` bytes."""
    claims, groups = sample_claims(), list[str]()
    while groups == [] or len(compact(claims | {"groups": groups})) < size:
        groups.append(f"/customers/north/teams/team-{len(groups):02}")
    return claims | {"groups": groups}


def keycloak_claims(stage: Stage) -> dict[str, Any]:
    """The claims for the stage's realm and time."""
    now = int(time.time())
    return sample_claims() | {"iss": stage.issuer("acme"), "iat": now - 10, "exp": now + 290}


def compact(claims: dict[str, Any]) -> bytes:
    """JSON without white space, as in Keycloak."""
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
        """New tokens."""
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
        """Microseconds of one verification, cached or not."""
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
    """The ratios, and the fastest round of each in microseconds."""
    kinds = {algorithm: Kind(algorithm, cached=False) for algorithm in algorithms}
    cached = Kind("RS256")
    for kind in (*kinds.values(), cached):
        await kind.verified(kind.tokens(10))  # fetches the keys
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
    """The ratio for RS256 without the extra `fast`, in an interpreter that cannot import it."""
    code = "import asyncio, sys; sys.modules['orjson'] = sys.modules['pybase64'] = None; "
    code += "from benchmarks.verification import times; "
    code += f"print(asyncio.run(times({rounds}, algorithms=('RS256',)))['RS256, cold / raw'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return {"RS256, cold / raw, without the extra": float(done.stdout)}


async def memory() -> dict[str, float]:
    """The memory of a cached token, and the longest collection ÷ that of a cache of claims."""
    kind = Kind("RS256")
    principals, claims = [], []
    for raw in kind.tokens(500):
        principals.append(await kind.stage.verifier.verify(Credential.bearer(raw)))
        claims.append(decode_unverified(raw.encode()).claims)
    realm = kind.stage.snapshot.find(kind.stage.issuer("acme"))
    if realm is None:
        raise RuntimeError("the realm is not in the snapshot")

    def fill_cache() -> VerifiedTokens:
        cache = VerifiedTokens(2 * CACHED_TOKENS, clocks=Clocks())
        for number in range(CACHED_TOKENS):
            one = principals[number % len(principals)]
            # A principal for each token; texts that principals share here are shared in production too.
            own = type(one)(**{name: getattr(one, name) for name in one._fields} | {"subject": f"subject-{number:036}"})
            entry = Authenticated(own, realm, 0, own.expires_at, any_path=True)
            cache.put(sha256(b"%d" % number).digest(), entry=entry, tenant=None)
        return cache

    def keep_claims() -> dict[bytes, Any]:
        return {
            sha256(b"%d" % n).digest(): json.loads(json.dumps(claims[n % len(claims)])) for n in range(CACHED_TOKENS)
        }

    gc.collect()
    tracemalloc.start()
    cache = fill_cache()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del cache
    pauses = [pause(fill_cache), pause(keep_claims)]
    return {"bytes of a remembered token": size / CACHED_TOKENS, "longest pause / claims kept": pauses[0] / pauses[1]}


def pause(fill: Callable[[], Any]) -> float:
    """Seconds of a full collection while the objects of `fill` exist; the fastest of five."""
    gc.collect()
    gc.freeze()  # all earlier objects
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
    found = asyncio.run(times(arguments.rounds)) | without_extra(arguments.rounds) | asyncio.run(memory())
    return report(found, most=MOST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
