"""Which paths are forward auth's. A proxy may hide `/authz` from the world by the path that it has resolved itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tenants_api.server.standalone import AuthzApp, open_authorizer
from tests.support.lived import lived
from tests.support.realms import settings_for
from tests.support.stack import ADMIN_KEY, bearer, onboard, running_app

UNRESOLVED = (
    "/authz/..",
    "/authz/../",
    "/authz/.",
    "/authz/./",
    "/authz/../public",
    "/authz/x/../..",
    "/authz/%2e%2e",
    "/authz/%2E%2E/public",
    "/authz/.%2e",
    "/authz/%2e",
    "/authz/%252e%252e",
    "/authz/..%252f",
    "/authz/%252fx",
    "/authz/..%2f",
    "/authz%2f..",
    "/authz%2f%2e%2e%2fpublic",
    "/authz//",
    "/authz//public",
    "/authz/x//y",
    "/authz/%2f",
    "/authz/..\\",
    "/authz/x\\..\\..",
    "/authz/x%5c..%5cy",
)
OTHERS = ("/x/../authz", "//authz", "/./authz", "/authz;x", "/authz..", "/authzx", "/AUTHZ")
PASS = (
    "/authz",
    "/authz/",
    "/authz/orders/7",
    "/authz/orders/",
    "/authz/.well-known/x",
    "/authz/a..b",
    "/authz/...",
    "/authz/%ff",
)


@pytest.fixture(scope="module")
async def apps(realms: DevRealmServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Any]]:
    """The whole API and standalone forward auth on one database; the first one also answers preflights."""
    folder: Path = tmp_path_factory.mktemp("apps")
    settings = settings_for(realms, folder, admin_api_key=ADMIN_KEY)
    async with running_app(folder, realms, cors_origins=("https://app.test",)) as api:
        await onboard(api, "acme")
        alone = AuthzApp(lambda: open_authorizer(settings))
        async with lived(alone):
            yield {"whole": api.app, "alone": alone}


@pytest.fixture(params=["whole", "alone"])
def app(request: pytest.FixtureRequest, apps: dict[str, Any]) -> Any:
    return apps[request.param]


@pytest.fixture
def good(realms: DevRealmServer) -> dict[str, str]:
    return bearer(realms.realm("acme").mint())


async def asked(
    app: Any, path: str, *, method: str = "GET", query: bytes = b"", **headers: str
) -> tuple[int, set[str]]:
    """Status and names of the headers, for a path that no client has resolved before."""
    sent: list[dict[str, Any]] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
    }
    await app(scope, receive, send)
    return sent[0]["status"], {name.decode() for name, _ in sent[0]["headers"]}


@pytest.mark.parametrize("path", [*UNRESOLVED, *OTHERS])
async def test_d12_path_that_a_proxy_takes_for_another_never_passes(app: Any, good: dict[str, str], path: str) -> None:
    """D12: from outside, `/authz/..` told whether a token is good."""
    status, names = await asked(app, path, **good)
    assert status == 404
    assert "x-tenant-id" not in names
    assert (await asked(app, path))[0] == 404


@pytest.mark.parametrize("path", UNRESOLVED)
async def test_d12_neither_a_preflight_nor_a_profile_makes_it_a_pass(app: Any, path: str) -> None:
    """Answered by forward auth: behind it CORS would answer 200, which a proxy takes for a pass."""
    preflight = {"Origin": "https://app.test", "Access-Control-Request-Method": "POST"}
    assert (await asked(app, path, method="OPTIONS", **preflight))[0] == 404
    assert (await asked(app, path, query=b"profile=nginx"))[0] == 403


@pytest.mark.parametrize("path", PASS)
async def test_every_other_path_below_is_decided_by_the_token(app: Any, good: dict[str, str], path: str) -> None:
    status, names = await asked(app, path, **good)
    assert (status, "x-tenant-id" in names) == (200, True)
    assert (await asked(app, path))[0] == 401
