"""Validly signed tokens of a hostile tenant (D, E, I of the catalogue): they harm nobody but their own realm."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from tenants_api.tokens.credentials import Credential
from tests.attacks.battery.signature import ORDER_P256
from tests.support.tokens import Key, b64, jwks
from tests.support.verifying import Stage

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["uncached", "cached"])
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(cached=request.param)


@pytest.mark.parametrize(
    "claims",
    [
        {"realm_access": "admin", "resource_access": None},
        {"resource_access": {"tenants-api": {"roles": "admin"}}},
        {"resource_access": {"tenants-api": {"roles": [1, None, ["admin"], {"admin": 1}]}}},
        {"resource_access": {"tenants-api": ["admin"]}},
        {"resource_access": {"web": {"roles": ["admin"]}}},
        {
            "resource_access": {
                "tenants-api": {"roles": ["Admin", "admin ", "\uff41dmin", "ad\u200bmin", "platform-admin"]}
            }
        },
        {"realm_access": {"roles": ["admin", "realm-admin", "platform-admin"]}, "resource_access": []},
        {"scope": ["admin"], "resource_access": {}},
        {"groups": ["admin", "/admin"], "resource_access": {}},
    ],
    ids=lambda claims: str(claims)[:60],
)
async def test_role_that_is_not_mapped_exactly_grants_nothing(stage: Stage, claims: dict[str, Any]) -> None:
    """D15, D16, D17."""
    assert (await stage.verifier.verify(Credential.bearer(stage.token(**claims)))).roles == frozenset()


@pytest.mark.parametrize("subject", ["../admin", "' or 1=1 --", "{{7*7}}", "<script>", "=cmd()", "%s%n", "ünï"])
async def test_claim_is_text_and_nothing_else(stage: Stage, subject: str) -> None:
    """D12."""
    assert (await stage.verifier.verify(Credential.bearer(stage.token(sub=subject)))).subject == subject


async def test_users_with_one_address_in_two_tenants_are_two_users(stage: Stage) -> None:
    """D20, nOAuth: an address is a claim of the tenant's own, also when it says that it is verified."""
    same = {"email": "root@globex.example", "email_verified": True, "preferred_username": "root"}
    one = await stage.verifier.verify(Credential.bearer(stage.token("acme", **same)))
    other = await stage.verifier.verify(Credential.bearer(stage.token("globex", **same)))
    assert (one.tenant.id, one.subject) != (other.tenant.id, other.subject)
    assert (one.tenant.slug, other.tenant.slug) == ("acme", "globex")


@pytest.mark.parametrize(
    "claim", ["tenant", "tenant_id", "org", "organization", "organizations", "realm", "client_id", "azp"]
)
async def test_claim_that_names_another_tenant_is_ignored(stage: Stage, claim: str) -> None:
    """D9, D22: only the issuer chooses the tenant of a realm that belongs to one."""
    assert await stage.outcome(stage.token("acme", **{claim: "globex"})) == "accepted:acme"


async def test_realms_with_one_key_pair_keep_their_own_issuer(stage: Stage) -> None:
    """E4: a realm that was exported and imported signs with the same key under the same kid."""
    stage.keys["globex"] = stage.keys["acme"]
    stage.world.answers[stage.issuer("globex")] = jwks(stage.keys["acme"])
    assert await stage.outcome(stage.token("acme")) == "accepted:acme"
    assert await stage.outcome(stage.token("globex")) == "accepted:globex"


async def test_one_kid_in_two_cold_realms_is_never_mixed_up_by_concurrent_requests(stage: Stage) -> None:
    """E3, Centrifugo CVE-2026-49998: also not while both fetches are under way."""
    stage.keys = {name: Key(name, kid="shared") for name in ("acme", "globex")}
    stage.world.answers = {stage.issuer(name): jwks(key) for name, key in stage.keys.items()}
    gates = {stage.issuer(name): asyncio.Event() for name in stage.keys}
    stage.world.gates.update(gates)
    good = [stage.token(name, jti=str(n)) for n in range(20) for name in stage.keys]
    forged = [
        stage.keys[signer].token(stage.claims(name, jti=str(n)))
        for n in range(20)
        for name, signer in (("acme", "globex"), ("globex", "acme"))
    ]
    tasks = [asyncio.create_task(stage.outcome(raw)) for raw in good + forged]
    await asyncio.sleep(0)
    for gate in gates.values():
        gate.set()
    outcomes = await asyncio.gather(*tasks)
    assert outcomes[:40] == ["accepted:acme", "accepted:globex"] * 20
    assert set(outcomes[40:]) == {"invalid_token:bad_signature"}


async def test_names_that_run_together_are_kept_apart(stage: Stage) -> None:
    """E7: issuer `a:b` with kid `c` is not issuer `a` with kid `b:c`."""
    one = stage.add("one:b", issuer="https://id.example/realms/a:b", realm_url="https://id.example/realms/a:b")
    two = stage.add("two", issuer="https://id.example/realms/a", realm_url="https://id.example/realms/a")
    keys = {one.issuer: Key("one:b", kid="c"), two.issuer: Key("two", kid="b:c")}
    for realm in (one, two):
        stage.world.answers[realm.issuer] = jwks(keys[realm.issuer])
    for realm, other in ((one, two), (two, one)):
        own = keys[realm.issuer].token({**stage.claims(), "iss": realm.issuer})
        assert await stage.outcome(own) == f"accepted:{realm.tenant.slug}"
        forged = keys[other.issuer].token({**stage.claims(), "iss": realm.issuer}, kid=keys[realm.issuer].id)
        assert await stage.outcome(forged) == "invalid_token:bad_signature"


async def test_ten_thousand_unknown_issuers_leave_nothing_behind(stage: Stage) -> None:
    """E6: no fetch, no entry."""
    assert await stage.outcome(stage.token()) == "accepted:acme"
    for number in range(10_000):
        issuer = b64(json.dumps({"iss": f"https://x{number}.example"}).encode())
        raw = f"{b64(json.dumps({'alg': 'RS256', 'kid': f'k{number}'}).encode())}.{issuer}.AAAA"
        assert await stage.outcome(raw) == "invalid_token:unknown_issuer"
    assert stage.world.fetches == {stage.issuer("acme"): 1}
    assert len(list(stage.jwks_cache)) == 1
    assert stage.verifier.cached_tokens <= 1


async def test_token_of_a_suspended_tenant_is_refused_the_moment_after_it_was_used(stage: Stage) -> None:
    """I1, I2: and a forged or expired one does not learn that the tenant is suspended."""
    good = stage.token()
    assert await stage.outcome(good) == "accepted:acme"
    stage.add("acme", suspended=True)
    assert await stage.outcome(good) == "tenant_suspended:tenant_suspended"
    forged = stage.keys["globex"].token(stage.claims("acme"), kid=stage.keys["acme"].id)
    assert await stage.outcome(forged) == "invalid_token:bad_signature"
    old = stage.token(iat=int(stage.clock.now) - 600, exp=int(stage.clock.now) - 300)
    assert await stage.outcome(old) == "token_expired:expired"


async def test_cached_token_ends_with_its_expiry(stage: Stage) -> None:
    """I3: never later than exp and the leeway."""
    good = stage.token()
    assert await stage.outcome(good) == "accepted:acme"
    stage.clock.pass_time(329)
    assert await stage.outcome(good) == "accepted:acme"
    stage.clock.pass_time(1)
    assert await stage.outcome(good) == "token_expired:expired"


@pytest.mark.parametrize(
    "changes",
    [
        {"audiences": frozenset({"other"})},
        {"authorized_parties": frozenset({"other"})},
        {"not_before": 2_000_000_000},
        {"algorithms": frozenset({"ES256"})},
    ],
    ids=str,
)
async def test_change_of_the_registration_counts_for_tokens_that_were_used_before(stage: Stage, changes: Any) -> None:
    """I7, E10."""
    good = stage.token()
    assert await stage.outcome(good) == "accepted:acme"
    stage.add("acme", **changes)
    assert (await stage.outcome(good)).startswith("invalid_token:")


async def test_new_owner_of_a_slug_gets_nothing_of_the_old_one(stage: Stage) -> None:
    """E11: what is known of a realm is known by the id of its row."""
    good = stage.token()
    assert await stage.outcome(good) == "accepted:acme"
    old = stage.snapshot.find(stage.issuer("acme"))
    assert old is not None
    stage.snapshot.remove(old.id)
    stage.jwks_cache.drop(old.id)
    stage.add("new", id=uuid.uuid4(), tenant=old.tenant, issuer="https://id.example/realms/new-acme")
    assert await stage.outcome(good) == "invalid_token:unknown_issuer"


async def test_twin_of_an_ecdsa_token_is_another_token(stage: Stage) -> None:
    """B6, I4: (r, n - s) verifies as (r, s) does; nothing is remembered by the signature, so nothing is passed on."""
    key = Key("acme", algorithm="ES256")
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    stage.add("acme", algorithms=frozenset({"ES256"}))
    good = key.token(stage.claims())
    text, _, signature = good.rpartition(".")
    raw = _bytes(signature)
    r, s = int.from_bytes(raw[:32]), int.from_bytes(raw[32:])
    assert decode_dss_signature(encode_dss_signature(r, s)) == (r, s)
    twin = f"{text}.{b64(raw[:32] + (ORDER_P256 - s).to_bytes(32))}"
    assert [await stage.outcome(raw) for raw in (good, twin)] == ["accepted:acme"] * 2
    stage.world.answers[stage.issuer("acme")] = jwks(Key("other", algorithm="ES256"))
    stage.clock.pass_time(301)
    assert {await stage.outcome(raw) for raw in (good, twin)} == {"invalid_token:unknown_key"}


def _bytes(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


async def test_million_tokens_of_one_tenant_stay_within_the_cache() -> None:
    """I6: a tenant may mint as many as it likes; the bound is on entries, and others' hot tokens are used again."""
    stage, key = Stage(cached=True), Key("acme", algorithm="EdDSA")
    stage.add("acme", algorithms=frozenset({"EdDSA"}))
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    for number in range(1500):
        assert await stage.outcome(key.token(stage.claims(jti=str(number)))) == "accepted:acme"
    assert stage.verifier.cached_tokens <= 1000


async def test_principal_cannot_be_changed_by_a_route(stage: Stage) -> None:
    """I11: it may come out of the cache, and the next request gets the same object."""
    principal = await stage.verifier.verify(Credential.bearer(stage.token()))
    with pytest.raises((FrozenInstanceError, AttributeError)):
        principal.subject = "mallory"  # type: ignore[misc]
    assert isinstance(principal.roles, frozenset)
    assert isinstance(principal.scopes, tuple)
