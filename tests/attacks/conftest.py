"""The arena of the hostile tokens: one application a module, with the cache of verified tokens and without."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.attacks.arena import Arena, listening
from tests.support.realms import dev_realms
from tests.support.stack import onboard, running_app


@pytest.fixture(scope="module", params=[20_000, pytest.param(0, marks=pytest.mark.servers)], ids=["cache", "no cache"])
async def arena(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Arena]:
    with dev_realms("acme", "globex", "curves", "elsewhere") as server:
        for algorithm in ("ES256", "PS256", "EdDSA"):
            server.realm("curves").keys.signing(algorithm)
        folder = tmp_path_factory.mktemp("arena")
        async with running_app(folder, server, verified_tokens=request.param) as client:
            await onboard(client, "acme", login_client_id="web")
            await onboard(client, "globex")
            several = ["RS256", "PS256", "ES256", "EdDSA"]
            await onboard(client, "curves", algorithms=several, authorized_parties=["web"])
            async with listening(client) as address:
                yield Arena(client, address)


@pytest.fixture(params=["function", pytest.param("server", marks=pytest.mark.servers)])
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)
