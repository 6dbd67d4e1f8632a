"""The password grant: why a realm refused a login, and where its tokens must not show."""

from __future__ import annotations

import pytest

from tenants_api.keycloak.tokens import password_grant
from tenants_api.outbound.errors import LoginRefused
from tests.support.fetching import client_for
from tests.support.sockets import http, serving


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        ("400 Bad Request", b'{"error": "invalid_grant", "error_description": "Invalid user credentials"}',
         "invalid_credentials"),
        ("401 Unauthorized", b'{"error": "invalid_grant", "error_description": "Invalid user credentials"}',
         "invalid_credentials"),
        ("400 Bad Request", b'{"error": "invalid_grant", "error_description": "Account disabled"}',
         "account_not_ready"),
        ("401 Unauthorized", b'{"error": "invalid_client"}', "client_refused"),
    ],
)  # fmt: skip
async def test_refused_login_is_told_apart_for_the_operator(status: str, body: bytes, kind: str) -> None:
    async with serving(http(body, status=status)) as server, client_for(server) as client:
        with pytest.raises(LoginRefused) as refused:
            await password_grant(client, server.url, client_id="web", username="u", password="secret-word")
    assert refused.value.kind == kind
    assert "secret-word" not in str(refused.value)


async def test_tokens_stay_out_of_the_repr() -> None:
    body = b'{"access_token": "SECRET", "refresh_token": "SECRET", "expires_in": 300, "token_type": "Bearer"}'
    async with serving(http(body)) as server, client_for(server) as client:
        tokens = await password_grant(client, server.url, client_id="web", username="u", password="p")
    assert tokens.access_token == "SECRET"
    assert "SECRET" not in repr(tokens)
