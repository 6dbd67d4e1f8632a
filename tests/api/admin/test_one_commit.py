"""Every write route of the admin plane: one transaction, one audit entry, one step of the registry version.

Where one call is several of these, or none, `CASES` says why. What fails after the first commit changes no answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenants_api.api.admin.plane import create_admin_app
from tenants_api.devkit.realms import DevRealmServer
from tests.support.committing import counting, gone
from tests.support.stack import CLIENT_ID, ApiClient, onboard, running_app

READS = (0, [], 0)
CHECKED = "its realms are checked between two transactions: reserved first, then conditions, first keys and activation"
OBSERVED = "an observation of a realm is no change by an admin: it is stored without an entry"
SHARED = "no command: the replica stores what it fetched, as after each fetch, and then tells the others"
READ_ONLY = "it changes nothing"
NO_REPLICA = "admin keys are read at each request: no replica holds them"


@dataclass(frozen=True)
class World:
    """acme is active, globex a draft; `realm` is a realm of acme."""

    client: ApiClient
    realm: str

    async def __call__(self, method: str, path: str, body: Any = None) -> httpx.Response:
        match = {"If-Match": "*"} if method in ("PATCH", "DELETE") else {}
        return await self.client.admin(method, path, json=body, headers=match)

    def issuer(self, name: str) -> dict[str, str]:
        return {"issuer": self.client.server.realm(name).issuer, "client_id": CLIENT_ID}

    def tenant(self, slug: str, **more: Any) -> dict[str, Any]:
        return {"slug": slug, "name": slug.title(), "realms": [self.issuer(slug)], **more}

    async def key(self) -> str:
        made = await self("POST", "/api-keys", {"name": "one", "scopes": ["tenants:read"]})
        return str(made.json()["id"])

    async def in_state(self, *steps: str) -> None:
        for step in steps:
            method, path = ("DELETE", "") if step == "delete" else ("POST", f"/{step}")
            answer = await self(method, f"/tenants/acme{path}", {} if path else None)
            assert answer.status_code < 300, answer.text


Call = Callable[[World], Awaitable[Callable[[], Awaitable[httpx.Response]]]]


@dataclass(frozen=True)
class Case:
    """What a call commits: transactions, actions, versions; `why` where it is not one of each."""

    prepare: Call
    commits: tuple[int, list[str], int]
    status: int = 200
    why: str = ""


def call(method: str, path: str, body: Any = None, *, after: tuple[str, ...] = ()) -> Call:
    async def prepare(world: World) -> Callable[[], Awaitable[httpx.Response]]:
        await world.in_state(*after)
        made = body(world) if callable(body) else body
        where = path.replace("{realm}", world.realm)
        if "{key}" in where:
            where = where.replace("{key}", await world.key())
        return lambda: world(method, where, made)

    return prepare


def one(action: str) -> tuple[int, list[str], int]:
    return (1, [action], 1)


ACME, REALM = "/tenants/acme", "/tenants/acme/realms/{realm}"
T, R = "/v1/tenants/{ref}", "/v1/tenants/{ref}/realms/{realm_id}"
RULES = [{"from": "realm", "value": "owner", "role": "admin"}]
CASES = {
    "POST /v1/tenants": Case(
        call("POST", "/tenants", lambda world: world.tenant("initech")),
        (2, ["tenant.created", "realm.health_changed", "tenant.activated"], 3),
        201,
        CHECKED,
    ),
    f"PUT {T}": Case(call("PUT", ACME, lambda world: world.tenant("acme", name="Other")), one("tenant.replaced")),
    f"PATCH {T}": Case(call("PATCH", ACME, {"name": "Other"}), one("tenant.updated")),
    f"DELETE {T}": Case(call("DELETE", ACME), one("tenant.deleted"), 204),
    f"POST {T}/activate": Case(call("POST", "/tenants/globex/activate", {}), one("tenant.activated")),
    f"POST {T}/suspend": Case(call("POST", f"{ACME}/suspend", {}), one("tenant.suspended")),
    f"POST {T}/resume": Case(call("POST", f"{ACME}/resume", {}, after=("suspend",)), one("tenant.resumed")),
    f"POST {T}/restore": Case(call("POST", f"{ACME}/restore", {}, after=("delete",)), one("tenant.restored")),
    f"POST {T}/purge": Case(call("POST", f"{ACME}/purge", {}, after=("delete",)), one("tenant.purged")),
    f"POST {T}/realms": Case(
        call("POST", f"{ACME}/realms", lambda world: world.issuer("initech")),
        (2, ["realm.added", "realm.health_changed"], 2),
        201,
        CHECKED,
    ),
    f"PATCH {R}": Case(call("PATCH", REALM, {"login_client_id": "web"}), one("realm.updated")),
    f"DELETE {R}": Case(call("DELETE", REALM), one("realm.removed"), 204),
    f"PUT {T}/role-mapping": Case(call("PUT", f"{ACME}/role-mapping", RULES), one("tenant.updated")),
    f"POST {T}/role-mapping/preview": Case(
        call("POST", f"{ACME}/role-mapping/preview", {"claims": {}}), READS, why=READ_ONLY
    ),
    f"POST {T}/checks": Case(call("POST", f"{ACME}/checks"), (1, [], 0), why=OBSERVED),
    f"POST {R}/keys/refresh": Case(call("POST", f"{REALM}/keys/refresh"), (2, [], 1), why=SHARED),
    "POST /v1/issuer-checks": Case(
        call("POST", "/issuer-checks", lambda world: world.issuer("initech")), READS, why=READ_ONLY
    ),
    "POST /v1/tokens/explain": Case(
        call("POST", "/tokens/explain", lambda world: {"token": world.client.server.realm("acme").mint()}),
        READS,
        why=READ_ONLY,
    ),
    "POST /v1/api-keys": Case(
        call("POST", "/api-keys", {"name": "two", "scopes": ["tenants:read"]}),
        (1, ["api_key.created"], 0),
        201,
        NO_REPLICA,
    ),
    "DELETE /v1/api-keys/{key_id}": Case(
        call("DELETE", "/api-keys/{key}"), (1, ["api_key.revoked"], 0), 204, NO_REPLICA
    ),
}


@pytest.fixture
async def world(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[World]:
    async with running_app(tmp_path, realms) as client:
        acme = await onboard(client, "acme")
        world = World(client, acme["realms"][0]["id"])
        assert (await world("POST", "/tenants", world.tenant("globex", activate="never"))).status_code == 201
        yield world


def test_every_write_route_has_a_case_and_says_why_where_it_is_not_one_of_each() -> None:
    paths = create_admin_app().openapi()["paths"]
    routes = {
        f"{method.upper()} {path}"
        for path, methods in paths.items()
        for method in methods
        if method in ("post", "put", "patch", "delete")
    }
    assert set(CASES) == routes
    for name, case in CASES.items():
        transactions, actions, versions = case.commits
        assert bool(case.why) == ((transactions, len(actions), versions) != (1, 1, 1)), name


@pytest.mark.parametrize("name", CASES)
async def test_a_command_commits_once_what_it_writes(world: World, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    ask = await case.prepare(world)
    with counting(tmp_path / "tenants.db") as commits:
        answer = await ask()
    assert answer.status_code == case.status, answer.text
    assert commits.all == case.commits


@pytest.mark.parametrize("fault", [gone(), RuntimeError("a mistake of ours")], ids=["database", "mistake"])
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.commits[0] and case.why != SHARED])
async def test_what_fails_after_the_commit_is_not_the_answer(
    world: World, tmp_path: Path, name: str, fault: Exception
) -> None:
    case = CASES[name]
    ask = await case.prepare(world)
    with counting(tmp_path / "tenants.db", fault=fault) as commits:
        answer = await ask()
    assert answer.status_code == case.status, answer.text
    assert commits.written == 1
    assert commits.actions == case.commits[1][: 1 if case.commits[1] else 0]
