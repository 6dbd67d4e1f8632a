"""Whose a token is: the tenant of its issuer, as long as that is registered, enabled and not suspended."""

from __future__ import annotations

from typing import Any

import pytest

from tenants_api.tokens.credentials import Credential
from tests.support.tokens import Key, jwks
from tests.support.verifying import Stage


async def test_token_of_a_registered_realm_is_accepted_for_its_tenant(stage: Stage) -> None:
    principal = await stage.verifier.verify(Credential.bearer(stage.token("acme")))
    assert (principal.tenant.slug, principal.subject) == ("acme", "65ec3e18-558a-486f-b14a-ecc7ba1e2dfa")
    assert (principal.username, principal.email, principal.full_name) == ("alice", "alice@acme.example", "Alice Doe")
    assert principal.roles == {"editor"}
    assert principal.scopes == ("openid", "profile", "email")
    assert not principal.service_account


async def test_unknown_issuer_is_refused_without_any_fetch(stage: Stage) -> None:
    token = Key("stranger").token({**stage.claims(), "iss": "https://evil.example/realms/acme"})
    assert await stage.outcome(token) == "invalid_token:unknown_issuer"
    assert stage.world.fetches == {}


@pytest.mark.parametrize(
    "twin",
    [
        "https://id.example/realms/acme/",
        "https://ID.example/realms/acme",
        "https://id.example:443/realms/acme",
        "http://id.example/realms/acme",
        "https://id.example/realms/acm",
        "https://id.example/realms/acme2",
        "https://id.example/realms/%61cme",
        "https://id.example/realms/\u0430cme",
        "https://id.example/realms/acme\x00",
        " https://id.example/realms/acme",
        "https://id.example/realms/./acme",
    ],
)
async def test_issuer_is_compared_byte_for_byte(stage: Stage, twin: str) -> None:
    token = stage.keys["acme"].token({**stage.claims(), "iss": twin})
    assert await stage.outcome(token) == "invalid_token:unknown_issuer"


async def test_same_kid_in_two_realms_never_stands_in_for_the_other(stage: Stage) -> None:
    stage.keys = {name: Key(name, kid="shared") for name in ("acme", "globex")}
    stage.world.answers = {stage.issuer(name): jwks(key) for name, key in stage.keys.items()}
    assert await stage.outcome(stage.token("acme")) == "accepted:acme"
    assert await stage.outcome(stage.token("globex")) == "accepted:globex"
    for claimed, signer in (("acme", "globex"), ("globex", "acme")):
        forged = stage.keys[signer].token(stage.claims(claimed))
        assert await stage.outcome(forged) == "invalid_token:bad_signature"


async def test_tokens_of_a_disabled_realm_are_refused(stage: Stage) -> None:
    stage.world.disabled.add(stage.issuer("acme"))
    assert await stage.outcome(stage.token()) == "invalid_token:realm_disabled"


async def test_suspension_shows_only_to_a_token_that_is_good(stage: Stage) -> None:
    token = stage.token()
    assert await stage.outcome(token) == "accepted:acme"
    stage.add("acme", suspended=True)
    assert await stage.outcome(token) == "tenant_suspended:tenant_suspended"
    assert await stage.outcome(stage.token(aud="account")) == "invalid_token:wrong_audience"


async def test_removed_realm_is_refused_at_once_also_from_the_cache(stage: Stage) -> None:
    token = stage.token()
    assert await stage.outcome(token) == "accepted:acme"
    stage.snapshot.remove(stage.snapshot.find(stage.issuer("acme")).id)
    assert await stage.outcome(token) == "invalid_token:unknown_issuer"


async def test_organization_chooses_the_tenant_of_a_shared_realm(stage: Stage) -> None:
    issuer = stage.issuer("shared")
    for name in ("north", "south"):
        stage.add(name, issuer=issuer, organization=name)
    stage.world.answers[issuer] = jwks(Key("shared"))
    key = Key("shared")

    def token(claim: Any) -> str:
        return key.token({**stage.claims(), "iss": issuer, "organization": claim})

    assert await stage.outcome(token(["north"])) == "accepted:north"
    assert await stage.outcome(token({"south": {"id": "1"}})) == "accepted:south"
    assert await stage.outcome(token("north")) == "accepted:north"
    for claim in (["east"], [], None, 7, [["north"]]):
        assert await stage.outcome(token(claim)) == "invalid_token:unknown_organization"
    several = token(["north", "south"])
    assert await stage.outcome(several) == "invalid_token:several_organizations"
    for _ in "ab":  # the second time from the cache
        for path in ("north", "south"):
            assert await stage.outcome(several, tenant=path) == f"accepted:{path}"
        assert await stage.outcome(several, tenant="east") == "invalid_token:several_organizations"
        assert await stage.outcome(several) == "invalid_token:several_organizations"
