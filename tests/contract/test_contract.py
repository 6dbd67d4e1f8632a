"""Both OpenAPI documents against the server that they describe: schemathesis makes the requests, all checks are on."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.attacks.arena import listening
from tests.support.realms import dev_realms
from tests.support.stack import ADMIN_KEY, ApiClient, onboard, running_app

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("contract")]
CONFIG = Path(__file__).with_name("schemathesis.toml")
EVERYTHING = "examples,coverage,fuzzing"


@pytest.fixture(scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[ApiClient, str]]:
    folder = tmp_path_factory.mktemp("contract")
    settings = {"docs_enabled": True, "login_rate": 100_000, "public_url": "http://api.test", "realm_timeout": 0.5}
    with dev_realms("acme") as server:
        async with running_app(folder, server) as patient:  # half a second may be too short for the onboarding
            await onboard(patient, "acme", login_client_id="web")
        async with running_app(folder, server, **settings) as client, listening(client) as (host, port):
            yield client, f"http://{host}:{port}"


async def checked(url: str, *, token: str | None, phases: str = EVERYTHING, examples: int = 4) -> str:
    """What schemathesis says at its end; AssertionError with all of it when it found something."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG), "run", url,
        "--checks", "all", "--phases", phases, "--max-examples", str(examples), "--seed", "20", "--no-color",
        *(["--header", f"Authorization: Bearer {token}"] if token else []),
    ]  # fmt: skip
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=CONFIG.parent, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested, done.stdout[-3000:]
    return tested[1]


@pytest.mark.parametrize(("document", "operations"), [("/openapi.json", 23), ("/admin/openapi.json", 31)])
async def test_every_operation_keeps_its_contract(api: tuple[ApiClient, str], document: str, operations: int) -> None:
    client, url = api
    token = ADMIN_KEY if document.startswith("/admin") else client.server.realm("acme").mint(username="carol")
    assert int(await checked(url + document, token=token)) == operations


@pytest.mark.parametrize("document", ["/openapi.json", "/admin/openapi.json"])
async def test_every_operation_keeps_its_contract_for_a_stranger(api: tuple[ApiClient, str], document: str) -> None:
    """Without credentials: documented refusals, and nothing that only looks like one."""
    assert int(await checked(api[1] + document, token=None, phases="examples,coverage", examples=1)) > 20
