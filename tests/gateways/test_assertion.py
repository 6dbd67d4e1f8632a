"""The internal assertion on its way through each proxy: it arrives whole, nobody brings one, and off means none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest

from tenants_api.devkit.realms import DevRealmServer
from tenants_api.forward_auth.identity import ASSERTION, MAX_IDENTITY_BYTES
from tests.gateways.conftest import Door, open_door
from tests.gateways.proxies import HOW, binary
from tests.support.asserting import ISSUER, SECRET
from tests.support.machine import require
from tests.support.stack import onboard, running_app

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("gateways")]
ON = {"assertion_secret": SECRET, "assertion_issuer": ISSUER, "assertion_audiences": ("internal",)}
FORGED = {ASSERTION: "eyJmb3JnZWQ.e30.x", ASSERTION.replace("-", "_"): "eyJ.e30.x", ASSERTION.replace("-", "."): "eyJ"}


@pytest.fixture(scope="module", params=["nginx", "caddy", "envoy"])
async def assured(
    request: pytest.FixtureRequest, realms: DevRealmServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Door]:
    """A door whose authorizer mints assertions."""
    require(request.param, available=binary(request.param) is not None, how=HOW[request.param])
    folder: Path = tmp_path_factory.mktemp(f"assured-{request.param}")
    async with running_app(folder, realms, **ON) as api:
        await onboard(api, "acme")
        async with open_door(request.param, api=api, folder=folder, tenant="acme") as opened:
            yield opened


def assertions(door: Door) -> list[str]:
    """What of that name reached the service, whatever stands between the words."""
    named = [line.partition(":") for line in door.upstream.lines[-1][1:]]
    wanted = ASSERTION.lower()
    return [value.strip() for name, _, value in named if name.lower().replace("_", "-").replace(".", "-") == wanted]


def forged(door: Door) -> dict[str, str]:
    """Envoy refuses a request with an underscore in a header's name as a whole."""
    return {name: value for name, value in FORGED.items() if door.proxy != "envoy" or "_" not in name}


async def test_assertion_of_ours_replaces_a_forged_one(assured: Door) -> None:
    answer = await assured.client.get("/", headers={**assured.bearer(), **forged(assured)})
    assert answer.status_code == 200
    (raw,) = assertions(assured)
    (key,) = jwt.PyJWKSet.from_dict((await assured.api.get("/.well-known/jwks.json")).json()).keys
    claims = jwt.decode(raw, key, algorithms=["ES256"], issuer=ISSUER, audience="internal")
    assert (claims["tenant_slug"], claims["roles"]) == ("acme", ["editor"])


async def test_largest_identity_passes_with_its_assertion(assured: Door) -> None:
    shortest = await assured.api.get("/authz", headers=assured.bearer(preferred_username="a"))
    identity = [line for line in shortest.headers.items() if line[0].startswith(("x-tenant-", "x-auth-request-"))]
    longest = "a" * (1 + MAX_IDENTITY_BYTES - sum(len(name) + len(value) + 4 for name, value in identity))
    answer = await assured.client.get("/", headers=assured.bearer(preferred_username=longest))
    assert answer.status_code == 200
    assert any(line.endswith(f": {longest}") for line in assured.upstream.lines[-1])
    assert len(assertions(assured)) == 1
    too_long = await assured.client.get("/", headers=assured.bearer(preferred_username=f"{longest}a"))
    assert too_long.status_code == 403


async def test_without_assertions_no_header_of_that_name_arrives(door: Door) -> None:
    for headers in ({}, forged(door)):
        answer = await door.client.get("/", headers={**door.bearer(), **headers})
        assert (answer.status_code, assertions(door)) == (200, [])
