"""Checks 17, 19 and 20 of twenty: two applications on one database, and a real server with two workers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.support.serving import Served, serving
from tests.support.stack import ADMIN_KEY, onboard, running_app, until
from tests.support.tokens import Key, claims_for

BOUND = 1.0  # seconds: the promise for every worker and replica
POLL = 0.5  # seconds: the default, which the promise must hold with
USEFUL = 20  # characters of a token that are enough to be of use to somebody


async def test_19_added_realm_is_accepted_by_the_next_request_and_by_the_other_replica_within_a_second(
    realms: DevRealmServer, tmp_path: Path
) -> None:
    token = realms.realm("acme").mint()
    async with (
        running_app(tmp_path, realms, registry_poll=POLL) as one,
        running_app(tmp_path, realms, registry_poll=POLL) as other,
    ):
        assert {(await client.me(token)).status_code for client in (one, other)} == {401}
        await onboard(one, "acme")
        assert (await one.me(token)).status_code == 200
        await until(200, lambda: other.me(token), within=BOUND)
        assert (await other.me(realms.realm("globex").mint())).status_code == 401


async def test_20_suspended_tenant_is_refused_by_the_next_request_and_by_the_other_replica_within_a_second(
    realms: DevRealmServer, tmp_path: Path
) -> None:
    acme, globex = realms.realm("acme").mint(), realms.realm("globex").mint()
    async with (
        running_app(tmp_path, realms, registry_poll=POLL) as one,
        running_app(tmp_path, realms, registry_poll=POLL) as other,
    ):
        for name in ("acme", "globex"):
            await onboard(one, name)
        for client in (one, other):
            await until(200, lambda client=client: client.me(acme), within=BOUND)  # type: ignore[misc]
            await until(200, lambda client=client: client.me(globex), within=BOUND)  # type: ignore[misc]
        suspended = await one.admin("POST", "/tenants/acme/suspend", json={"reason": "unpaid"})
        assert suspended.status_code == 200, suspended.text
        refused = await one.me(acme)
        assert (refused.status_code, refused.json()["code"]) == (403, "tenant_suspended")
        await until(403, lambda: other.me(acme), within=BOUND)
        assert {(await client.me(globex)).status_code for client in (one, other)} == {200}


@pytest.mark.servers
def test_17_19_20_hold_on_two_real_workers_and_no_token_is_in_their_log(realms: DevRealmServer, tmp_path: Path) -> None:
    acme, forger = realms.realm("acme"), Key("checks-forger")
    tokens = {
        "good": acme.mint(),
        "foreign": realms.realm("globex").mint(),
        "expired": acme.mint(now=acme.clock() - 3600),
        "forged": forger.token(claims_for(acme.issuer, now=acme.clock())),
        "refresh": acme.mint(kind="refresh"),
        "explained": acme.mint(username="bob"),
    }
    with serving(tmp_path, realms, TENANTS_LOG_LEVEL="debug") as served:
        assert served.on_every_worker(tokens["good"]) == {401}
        _register(served, issuer=acme.issuer)
        served.settle()
        assert served.on_every_worker(tokens["good"]) == {200}
        secrets = {**tokens, **_provoke(served, tokens), "admin_key": ADMIN_KEY}
        assert served.admin("POST", "/tenants/acme/suspend", json={}).status_code == 200
        served.settle()
        assert served.on_every_worker(tokens["good"]) == {403}
    log = served.log.read_text(encoding="utf-8", errors="replace")
    assert "token_refused" in log
    assert _leaked(log, secrets) == []


def _register(served: Served, *, issuer: str) -> None:
    realm = {"issuer": issuer, "client_id": "tenants-api", "login_client_id": "web"}
    answer = served.admin("POST", "/tenants", json={"slug": "acme", "name": "Acme", "realms": [realm]})
    assert answer.status_code == 201, answer.text


def _provoke(served: Served, tokens: dict[str, str]) -> dict[str, str]:
    """Use every way on which a token or a password could get into a log; gives the secrets that came up."""
    good = tokens["good"]
    for token in tokens.values():
        served.call("GET", "/v1/me", token=token)
        served.admin("POST", "/tokens/explain", json={"token": token})
    served.call("GET", f"/v1/me?access_token={good}")
    served.call("GET", f"/v1/me/{good}", token=good)
    served.call("GET", "/v1/me", headers={"Authorization": f"Bearer  {good}"})
    served.call("GET", "/v1/me", headers={"X-Request-ID": good[:120]})
    served.call("POST", "/v1/items", token=good, json={"title": "x", good: good})
    served.call("GET", "/admin/v1/tenants", token=good)
    form = {"username": "alice", "password": "alice-pw"}
    login = served.call("POST", "/t/acme/login", data=form)
    assert login.status_code == 200, login.text
    assert served.call("POST", "/t/acme/login", data={**form, "password": "not-her-password-1"}).status_code == 401
    body = login.json()
    return {
        "access": body["access_token"],
        "refreshing": body["refresh_token"],
        "password": "not-her-password-1",
    }


def _leaked(log: str, secrets: dict[str, str]) -> list[str]:
    """Names of secrets of which the log holds the whole, or any piece between dots that is long enough to be of use."""
    headers = {secret.split(".")[0] for secret in secrets.values() if secret.count(".") == 2}
    found = []
    for name, secret in secrets.items():
        parts = [part for part in re.split(r"\.", secret) if len(part) >= USEFUL or part == secret]
        if any(part in log for part in parts) or any(part[:USEFUL] in log for part in parts if part not in headers):
            found.append(name)
    return found
