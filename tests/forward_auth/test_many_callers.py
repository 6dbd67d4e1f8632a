"""More callers than forward auth remembers the headers of: each gets its own, whoever came before."""

from __future__ import annotations

import uuid
from typing import Any

from tenants_api.forward_auth.endpoint import MAX_CACHED_PRINCIPALS, Authorizer
from tenants_api.tokens.credentials import Credential, credential_of
from tenants_api.tokens.principal import SAMPLE_ROLES, Principal, TenantRef


class Strangers:
    """A verifier that knows every token, and makes its principal anew each time: the one before is let go."""

    credential_of = staticmethod(credential_of)

    async def verify(self, credential: Credential, *, max_wait: float) -> Principal:
        return principal(credential.token.decode())


class Same(Strangers):
    """A verifier that knows one principal."""

    def __init__(self) -> None:
        self._principal = principal("7")

    async def verify(self, credential: Credential, *, max_wait: float) -> Principal:
        return self._principal


def principal(raw: str) -> Principal:
    return Principal(
        tenant=TenantRef(uuid.UUID(int=int(raw)), f"tenant-{raw}", "T"),
        issuer="https://id.example/realms/r",
        organization=None,
        subject=f"user-{raw}",
        roles=frozenset({"viewer"}),
        username=f"name-{raw}",
        email=None,
        email_verified=None,
        full_name=None,
        authorized_party=None,
        scope=None,
        expires_at=2**31,
        service_account=False,
    )


def deciding(verifier: Any) -> Authorizer:
    return Authorizer(verifier=verifier, roles=SAMPLE_ROLES)


async def told(authorizer: Authorizer, raw: str) -> list[tuple[bytes, bytes]]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"method": "GET", "path": "/authz", "headers": [(b"authorization", f"Bearer {raw}".encode())]}
    await authorizer.answer(scope, send, request_id="r")
    assert sent[0]["status"] == 200
    headers: list[tuple[bytes, bytes]] = sent[0]["headers"]
    return headers


async def test_each_of_many_callers_is_told_as_itself() -> None:
    authorizer = deciding(Strangers())
    for number in range(MAX_CACHED_PRINCIPALS + 100):
        headers = dict(await told(authorizer, str(number)))
        assert headers[b"x-tenant-slug"] == b"tenant-%d" % number
        assert headers[b"x-auth-request-user"] == b"user-%d" % number


async def test_headers_of_a_caller_full_of_text_are_not_kept() -> None:
    """D8: four thousand of them would be hundreds of megabytes."""

    class Full(Strangers):
        async def verify(self, credential: Credential, *, max_wait: float) -> Principal:
            return principal(credential.token.decode())._replace(scope="a" * 10_000)

    authorizer = deciding(Full())
    for number in range(50):
        assert dict(await told(authorizer, str(number)))[b"x-tenant-slug"] == b"tenant-%d" % number
    assert not authorizer._headers


async def test_what_somebody_adds_to_one_answer_is_not_in_the_next() -> None:
    authorizer = deciding(Same())
    first = await told(authorizer, "7")
    first.append((b"x-request-id", b"first"))
    assert b"x-request-id" not in dict(await told(authorizer, "7"))
