"""The cost that this product adds to a FastAPI route, without a server: ASGI calls with prepared scopes.

    python -m benchmarks.in_process [--rounds N] [--json]

Three applications have the same routes: a bare FastAPI, one with `Tenancy`, and `create_app`. In a round each gets the
same 200 cached tokens; then 200 new ones, each followed by a cached one and a bare RSA signature check. The result is
the median ratio of the rounds, of median CPU times of a request. The exit code is 1 if a bound is exceeded.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from fastapi import APIRouter, FastAPI

from benchmarks.library import ROUTES
from benchmarks.report import middles, parser, report
from benchmarks.verification import sample_claims
from tenants_api import Tenancy, create_app
from tenants_api.devkit.realms import DevRealm, DevRealmServer
from tenants_api.settings import Settings
from tenants_api.tokens.decode import decode_unverified
from tests.support.realms import dev_realms
from tests.support.stack import onboard, running_app

TOKENS = 200
WARM_UP_ROUNDS = 3  # not counted
QUIET = {"registry_poll": 60, "log_level": "error", "verified_tokens": 100_000}
MOST = {
    "open, create_app / bare": 1.20,
    "open, Tenancy / bare": 1.05,
    "CurrentPrincipal / noop": 1.25,
    "new token / known and RSA": 1.25,
}

# By application and route.
ASKED = (
    ("bare", "open"), ("create_app", "open"), ("Tenancy", "open"), ("bare", "noop"), ("Tenancy", "principal"),
    ("create_app", "principal"),
)  # fmt: skip
Scope = dict[str, Any]


def routes(guarded: str) -> APIRouter:
    """An open route and, as the second one, a route with a dependency: FastAPI tries routes in order."""
    router = APIRouter(prefix="/bench")
    for kind in ("open", guarded):
        router.add_api_route(f"/{kind}", ROUTES[kind])
    return router


def bare() -> FastAPI:
    app = FastAPI()
    app.include_router(routes("noop"))
    return app


def with_tenancy(settings: Settings) -> FastAPI:
    tenancy = Tenancy(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with tenancy.running():
            yield

    app = FastAPI(lifespan=lifespan)
    app.include_router(routes("principal"))
    tenancy.install(app)
    return app


def whole(settings: Settings) -> FastAPI:
    return create_app(settings, routers=[routes("principal")])


def scopes(kind: str, tokens: Sequence[str]) -> list[Scope]:
    """The scopes that uvicorn makes of requests of wrk."""
    return [
        {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": f"/bench/{kind}", "raw_path": f"/bench/{kind}".encode(), "query_string": b"",
            "root_path": "", "server": ("127.0.0.1", 8000), "client": ("127.0.0.1", 40000), "state": {},
            "headers": [
                (b"host", b"127.0.0.1:8000"), (b"user-agent", b"wrk"), (b"accept", b"*/*"),
                (b"authorization", b"Bearer " + token.encode()),
            ],
        }
        for token in tokens
    ]  # fmt: skip


async def receive() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Any) -> None:
    """Discard a message of the response."""


async def seconds(app: Any, scope: Scope) -> float:
    """CPU time of one request, which other processes do not change."""
    begun = time.thread_time()
    await app(scope, receive, send)
    return time.thread_time() - begun


class Tokens:
    """Tokens of one realm with claims of a real Keycloak, and the bare check of a signature."""

    def __init__(self, realm: DevRealm) -> None:
        self._keys, self._made = realm.keys, 0
        self._public: Any = realm.keys.signing("RS256").private.public_key()
        now = int(time.time())
        self._claims = sample_claims() | {"iss": realm.issuer, "iat": now - 10, "exp": now + 1800}

    def make(self, count: int) -> list[str]:
        """New tokens."""
        first, self._made = self._made, self._made + count
        return [self._keys.encode(self._claims | {"jti": f"onrtro:{n}"}) for n in range(first, first + count)]

    def check(self, signature: bytes, data: bytes) -> None:
        """The RSA verification alone."""
        self._public.verify(signature, data, padding.PKCS1v15(), SHA256())


async def one_round(apps: Mapping[str, Any], tokens: Tokens, *, known: Sequence[str]) -> dict[str, float]:
    """The median times of a request to each of `ASKED`, and of the parts of a new token."""
    took: dict[str, list[float]] = {}
    for name, kind in ASKED:
        took[f"{kind}, {name}"] = [await seconds(apps[name], scope) for scope in scopes(kind, known)]
    app, new = apps["Tenancy"], scopes("principal", tokens.make(len(known)))
    parts = [(part.signature, part.signing_input) for part in (decode_unverified(one.encode()) for one in known)]
    for fresh, old, raw in zip(new, scopes("principal", known), parts, strict=True):
        took.setdefault("new token", []).append(await seconds(app, fresh))
        took.setdefault("known token", []).append(await seconds(app, old))
        begun = time.thread_time()
        tokens.check(*raw)
        took.setdefault("RSA", []).append(time.thread_time() - begun)
    return {name: median(values) for name, values in took.items()}


def ratios_of(took: Mapping[str, float]) -> dict[str, float]:
    """The ratios with a bound, and the principal in the whole API."""
    noop = took["noop, bare"]
    return {
        "open, create_app / bare": took["open, create_app"] / took["open, bare"],
        "open, Tenancy / bare": took["open, Tenancy"] / took["open, bare"],
        "CurrentPrincipal / noop": took["principal, Tenancy"] / noop,
        "CurrentPrincipal in create_app / noop": took["principal, create_app"] / noop,
        "new token / known and RSA": took["new token"] / (took["known token"] + took["RSA"]),
    }


async def require_success(app: Any, scope: Scope) -> None:
    """Raises RuntimeError unless the status is 200: a refusal would be measured otherwise."""
    found: list[Any] = []

    async def keep(message: Any) -> None:
        found.append(message)

    await app(dict(scope), receive, keep)
    if found[0]["status"] != 200:
        raise RuntimeError(f"{scope['path']}: {found}")


async def measured(server: DevRealmServer, folder: Path, *, rounds: int) -> dict[str, float]:
    """The median ratios, and microseconds of a request."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(running_app(folder, server, factory=whole, **QUIET))
        await onboard(api, "acme")
        library = await stack.enter_async_context(running_app(folder, server, factory=with_tenancy, **QUIET))
        apps = {"bare": bare(), "Tenancy": library.app, "create_app": api.app}
        tokens = Tokens(server.realm("acme"))
        known = tokens.make(TOKENS)
        for name, kind in ASKED:
            await require_success(apps[name], scopes(kind, known)[0])
        gc.collect()
        gc.freeze()  # as in a serving process
        for _ in range(WARM_UP_ROUNDS):
            await one_round(apps, tokens, known=known)
        found = [await one_round(apps, tokens, known=known) for _ in range(rounds)]
    ratios = [ratios_of(took) for took in found]
    return middles({name: [each[name] for each in ratios] for name in ratios[0]}) | {
        f"us, {name}": median(took[name] for took in found) * 1e6 for name in found[0]
    }


def main() -> int:
    arguments = parser("benchmarks.in_process", __doc__, rounds=40).parse_args()
    with TemporaryDirectory(prefix="in-process-") as folder, dev_realms("acme") as server:
        found = asyncio.run(measured(server, Path(folder), rounds=arguments.rounds))
    return report(found, most=MOST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
