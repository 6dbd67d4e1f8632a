"""Standalone forward auth: what it imports, what it serves, and that it decides like the whole API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenants_api.devkit.realms import DevRealmServer
from tenants_api.readiness import NotReady
from tenants_api.server.standalone import AuthzApp, open_authorizer
from tests.support.lived import lived
from tests.support.processes import stop_group, wait_for
from tests.support.realms import settings_for
from tests.support.stack import ADMIN_KEY, ApiClient, bearer, onboard, running_app, until
from tests.support.waiting import DEADLINE

ROOT = Path(__file__).parents[2]
UNWANTED = ("fastapi", "starlette", "alembic", "typer", "jinja2", "multipart")


@pytest.fixture
async def both(realms: DevRealmServer, tmp_path: Path) -> AsyncIterator[tuple[ApiClient, httpx.AsyncClient]]:
    """The whole API and standalone forward auth on one database."""
    settings = settings_for(realms, tmp_path, admin_api_key=ADMIN_KEY)
    async with running_app(tmp_path, realms) as api:
        await onboard(api, "acme")
        app = AuthzApp(lambda: open_authorizer(settings))
        transport = httpx.ASGITransport(app)
        async with lived(app), httpx.AsyncClient(transport=transport, base_url="http://authz.test") as alone:
            yield api, alone


def test_it_imports_no_web_framework_no_migrations_and_no_command_line() -> None:
    look = "import json, sys, tenants_api.server.standalone; print(json.dumps(list(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout))
    ours = ("tenants_api.api", "tenants_api.app", "tenants_api.cli", "tenants_api.composition", "tenants_api.control")
    assert {name for name in modules if name.split(".")[0] in (*UNWANTED, "psycopg")} == set()
    assert {name for name in modules if name.startswith(ours)} == set()
    assert "tenants_api.forward_auth.endpoint" in modules


SPY = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules))))
sys.argv = ["tenants-api", "serve", "--authz-only", "--uds", "/nowhere/authz.sock"]
from tenants_api.cli import main
main()
"""


def test_the_command_itself_imports_no_more_and_psycopg_only_for_postgresql(
    database_url: str, realms: DevRealmServer, tmp_path: Path
) -> None:
    """Up to the end of its start, with the registry read: the socket cannot be made."""
    run = [sys.executable, "-c", SPY]
    variables = _environment(realms, tmp_path) | {"TENANTS_DATABASE_URL": database_url}
    done = subprocess.run(run, cwd=tmp_path, env=variables, capture_output=True, check=False)
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert "tenants_api.server.standalone" in modules
    assert ("psycopg" in modules) == database_url.startswith("postgresql")
    assert {name for name in modules if name.split(".")[0] in UNWANTED} == set()
    assert {name for name in modules if name.startswith(("tenants_api.api", "tenants_api.cli."))} == set()


@pytest.mark.parametrize(
    ("words", "environment", "code", "said"),
    [
        ([], {"TENANTS_DATABASE_URL": "sqlite+aiosqlite:///none.db"}, 7, "tenants-api db upgrade"),
        (["--workers", "2"], {"TENANTS_ENVIRONMENT": "production"}, 2, "PostgreSQL"),
        ([], {"TENANTS_DATABASE_URL": "sqlite+aiosqlite://host/tenants.db"}, 7, "TENANTS_DATABASE_URL is not valid"),
        ([], {"TENANTS_DATABASE_URL": "postgresql+psycopg://h1:1,h2:2/tenants"}, 7, "several hosts as ?host="),
        (["--port", "0"], {}, 2, "1 to 65535"),
        ([], {"TENANTS_LEEWAY": "x"}, 1, "TENANTS_LEEWAY"),
    ],
    ids=["no database", "workers on SQLite", "host of SQLite", "two ports", "port", "setting"],
)
def test_it_says_in_one_line_why_it_does_not_start(
    words: list[str], environment: dict[str, str], code: int, said: str, realms: DevRealmServer, tmp_path: Path
) -> None:
    run = [sys.executable, "-m", "tenants_api.cli", "serve", "--authz-only", *words]
    variables = _environment(realms, tmp_path) | environment
    done = subprocess.run(run, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, said in done.stderr.splitlines()[-1]) == (code, True), done.stderr
    assert list(tmp_path.iterdir()) == []


async def test_it_decides_like_the_whole_api_and_follows_its_changes(
    both: tuple[ApiClient, httpx.AsyncClient], realms: DevRealmServer
) -> None:
    api, alone = both
    headers = bearer(realms.realm("acme").mint())
    for query in ("", "?tenant=acme&role=editor", "?tenant=globex", "?role=admin", "?nonsense=1"):
        one, other = (
            await api.get(f"/authz{query}", headers=headers),
            await alone.get(f"/authz{query}", headers=headers),
        )
        assert _without_ids(one) == _without_ids(other)
    assert (await alone.get("/authz")).headers["cache-control"] == "no-store"
    foreign = bearer(realms.realm("globex").mint())
    assert (await alone.get("/authz", headers=foreign)).status_code == 401
    await onboard(api, "globex")
    await until(200, lambda: alone.get("/authz/x", headers=foreign))
    await api.admin("POST", "/tenants/acme/suspend", json={})
    await until(403, lambda: alone.get("/authz", headers=headers))


async def test_it_accepts_roles_of_the_application_and_no_others(realms: DevRealmServer, tmp_path: Path) -> None:
    """E1: `TENANTS_ROLES`."""
    settings = settings_for(realms, tmp_path, admin_api_key=ADMIN_KEY, roles={"lead": ["clerk"], "clerk": []})
    async with running_app(tmp_path, realms, roles=settings.roles) as api:
        await onboard(api, "acme", role_mapping=[{"from": "realm", "value": "tenant-user", "role": "lead"}])
        app = AuthzApp(lambda: open_authorizer(settings))
        transport = httpx.ASGITransport(app)
        headers = bearer(realms.realm("acme").mint(username="alice"))
        async with lived(app), httpx.AsyncClient(transport=transport, base_url="http://authz.test") as alone:
            for client in (api, alone):
                for role, status in {"lead": 200, "clerk": 200, "editor": 400}.items():
                    answer = await client.get(f"/authz?role={role}", headers=headers)
                    assert answer.status_code == status, answer.text


def _without_ids(answer: httpx.Response) -> tuple[int, list[tuple[str, str]], Any]:
    headers = sorted((name, value) for name, value in answer.headers.items() if name != "x-request-id")
    body = answer.json() | {"request_id": ""} if answer.content else None
    return answer.status_code, [pair for pair in headers if pair[0] != "content-length"], body


async def test_it_serves_its_probes_and_nothing_else(both: tuple[ApiClient, httpx.AsyncClient]) -> None:
    _, alone = both
    assert (await alone.get("/livez")).text == "ok"
    await until(200, lambda: alone.get("/readyz"))
    await alone.request("BREW", "/authz")
    assert 'method="other",route="/authz",status="401"' in (await alone.get("/metrics")).text
    for path in ("/", "/admin/v1/tenants", "/v1/me", "/docs", "/authzz", "/console"):
        answer = await alone.get(path, headers=bearer(ADMIN_KEY))
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_it_does_not_start_without_a_database(realms: DevRealmServer, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="db upgrade"):
        async with open_authorizer(settings_for(realms, tmp_path)):
            pass


@pytest.mark.servers
async def test_serve_authz_only_answers_on_a_unix_socket_and_ends_on_sigterm(
    realms: DevRealmServer, tmp_path: Path
) -> None:
    async with running_app(tmp_path, realms) as api:
        await onboard(api, "acme")
    socket, log = tmp_path / "authz.sock", tmp_path / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tenants_api.cli", "serve", "--authz-only", "--uds", str(socket)],
            cwd=tmp_path,
            env=_environment(realms, tmp_path),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for(lambda: socket.exists() or process.poll() is not None, what="the socket is there or serve has ended")
        assert socket.exists(), log.read_text("utf-8")
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://authz", timeout=60
        ) as client:
            passed = client.get("/authz", headers=bearer(realms.realm("acme").mint()))
            assert (passed.status_code, passed.headers["x-tenant-slug"]) == (200, "acme")
            assert client.get("/authz").status_code == 401
            assert client.get("/v1/me").status_code == 404
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) in (0, -signal.SIGTERM)
    finally:
        stop_group(process)
    assert "eyJ" not in log.read_text("utf-8")


def _environment(realms: DevRealmServer, folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TENANTS_")}
    return inherited | {
        "PYTHONPATH": str(ROOT),
        "TENANTS_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'tenants.db'}",
        "TENANTS_INSECURE_HTTP_HOSTS": f"127.0.0.1:{realms.port}",
        "TENANTS_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
        "TENANTS_ALLOWED_REALM_PORTS": f"443,{realms.port}",
    }
