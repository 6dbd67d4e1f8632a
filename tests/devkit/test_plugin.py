"""The fixtures reach a project that only has the package installed."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tenants_api import Settings, create_app
from tenants_api.devkit.realms import DevRealmServer
from tests.support.stack import ApiClient

THEIRS = """
from fastapi.testclient import TestClient
from tenants_api import create_app

def test_token_of_a_development_realm_is_accepted(tenants_settings, tenants_dev_realms):
    token = tenants_dev_realms.realm("acme").mint(username="alice")
    with TestClient(create_app(tenants_settings)) as client:
        answer = client.get("/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert answer.json()["tenant"]["slug"] == "acme"
"""


@pytest.mark.servers
def test_other_project_finds_the_fixtures_by_itself(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(THEIRS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout


def test_plugin_costs_other_projects_no_import() -> None:
    heavy = "[name for name in sys.modules if name.startswith(('sqlalchemy', 'fastapi'))]"
    code = f"import sys, tenants_api.devkit.plugin; print({heavy})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert run.stdout.strip() == "[]"


@pytest.mark.anyio
async def test_registry_in_memory_serves_many_at_once(
    tenants_settings: Settings, tenants_dev_realms: DevRealmServer
) -> None:
    app = create_app(tenants_settings, sample=True)
    token = tenants_dev_realms.realm("acme").mint(username="carol")
    async with app.router.lifespan_context(app), ApiClient(app, server=tenants_dev_realms) as client:
        headers = {"Authorization": f"Bearer {token}"}
        made = await asyncio.gather(
            *(client.post("/v1/items", json={"title": f"item {n}"}, headers=headers) for n in range(30))
        )
        assert {answer.status_code for answer in made} == {201}
        assert len((await client.get("/v1/items?limit=100", headers=headers)).json()["data"]) == 30
