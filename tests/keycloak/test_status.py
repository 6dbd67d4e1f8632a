"""What a realm says of itself: its discovery document, whether it is enabled, from when on its tokens count."""

from __future__ import annotations

import pytest

from tenants_api.keycloak.realm import fetch_enabled, fetch_issuer, fetch_not_before
from tenants_api.outbound.errors import RealmFault
from tests.support.fetching import client_for
from tests.support.sockets import http, serving


async def test_discovery_without_an_issuer_is_not_one() -> None:
    async with serving(http(b'{"jwks_uri": "x"}')) as server, client_for(server) as client:
        with pytest.raises(RealmFault) as fault:
            await fetch_issuer(client, server.url)
    assert fault.value.reason == "NotJson"


@pytest.mark.parametrize(
    ("answer", "enabled"),
    [
        (http(b'{"error": "invalid_request"}', status="400 Bad Request"), True),
        (http(b'{"error": "access_denied"}', status="403 Forbidden"), False),
    ],
)
async def test_empty_token_request_tells_whether_the_realm_is_enabled(answer: bytes, enabled: bool) -> None:
    async with serving(answer) as server, client_for(server) as client:
        assert await fetch_enabled(client, server.url) is enabled


@pytest.mark.parametrize("value", [b'"1"', b"-1", b"true", b"1e3", b"99999999999999999999"])
async def test_not_before_that_is_no_time_is_refused(value: bytes) -> None:
    async with serving(http(b'{"tokens-not-before": ' + value + b"}")) as server, client_for(server) as client:
        with pytest.raises(RealmFault):
            await fetch_not_before(client, server.url)
