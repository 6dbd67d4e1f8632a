"""E of the catalogue: the tenant is that of the verified issuer, whatever else names another one."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from tests.attacks.arena import Arena
from tests.attacks.battery.cases import ACCEPTED
from tests.support.tokens import Key, claims_for, jwks
from tests.support.verifying import Stage

pytestmark = pytest.mark.xdist_group("battery-e")


async def test_e2_realms_that_differ_in_case_are_two() -> None:
    stage = Stage()
    stage.add("Acme")
    assert await stage.outcome(stage.token("acme")) == "accepted:acme"
    assert await stage.outcome(stage.token("Acme")) == "accepted:Acme"
    crossed = stage.keys["Acme"].token(stage.claims("acme"))
    assert await stage.outcome(crossed) == "invalid_token:unknown_key"


@pytest.mark.parametrize("first", ["acme", "globex"])
async def test_e3_same_kid_in_two_realms_means_two_keys_in_either_order(first: str) -> None:
    """E3: one kid, two keys; the realm that is asked first must not lend its key to the other."""
    stage = Stage()
    for name in ("acme", "globex"):
        stage.keys[name] = Key(f"{name}-own", kid="shared")
        stage.world.answers[stage.issuer(name)] = jwks(stage.keys[name])
    second = "globex" if first == "acme" else "acme"
    for name in (first, second):
        assert await stage.outcome(stage.token(name)) == f"accepted:{name}"
    for key, issuer in ((first, second), (second, first)):
        assert await stage.outcome(stage.keys[key].token(stage.claims(issuer))) == "invalid_token:bad_signature"


async def test_e4_one_key_pair_in_two_realms_stands_for_each_issuer_alone(stage: Stage) -> None:
    """E4: nothing can tell the two signatures apart, so the issuer alone says whose token it is."""
    key = Key("exported")
    for name in ("acme", "globex"):
        stage.world.answers[stage.issuer(name)] = jwks(key)
        assert await stage.outcome(key.token(stage.claims(name))) == f"accepted:{name}"
    stage.snapshot.remove(stage.snapshot.find(stage.issuer("globex")).id)  # type: ignore[union-attr]
    assert await stage.outcome(key.token(stage.claims("globex"))) == "invalid_token:unknown_issuer"
    assert await stage.outcome(key.token(stage.claims("acme"))) == "accepted:acme"


async def test_e7_issuer_and_kid_are_not_joined_into_one_key(stage: Stage) -> None:
    """E7: `a:b` with kid `c` and `a` with kid `b:c` would be one key of a cache that joins texts."""
    pairs = {("https://id.example/a:b", "c"): "first", ("https://id.example/a", "b:c"): "second"}
    keys = {}
    for (issuer, kid), name in pairs.items():
        keys[name] = Key(f"e7-{name}", kid=kid)
        stage.world.answers[issuer] = jwks(keys[name])
        stage.add(name, issuer=issuer)
    for (issuer, kid), name in pairs.items():
        claims = claims_for(issuer, now=stage.clock.now)
        assert await stage.outcome(keys[name].token(claims)) == f"accepted:{name}"
        other = keys["second" if name == "first" else "first"]
        assert await stage.outcome(other.token(claims, kid=kid)) == "invalid_token:bad_signature"
        assert await stage.outcome(other.token(claims)) == "invalid_token:unknown_key"


OTHERS = {"acme%2fx": (404, "not_found"), "acm\xe9": (400, "")} | dict.fromkeys(
    ("globex", "nobody", "ACME", "acme;x", "%61cme%00", "acme%20", "..", "acme."), (403, "tenant_mismatch")
)


@pytest.mark.parametrize("slug", OTHERS)
async def test_e8_path_that_names_another_tenant_is_refused_whether_it_exists_or_not(arena: Arena, slug: str) -> None:
    """E8, E9"""
    answer = await arena.get(f"Authorization: Bearer {arena.mint.token()}", path=f"/t/{slug}/v1/me")
    assert answer.shown == OTHERS[slug]


@pytest.mark.parametrize("slug", ["acme", "%61cme", "acm%65"])
async def test_e9_path_is_decoded_once_and_compared_whole(arena: Arena, slug: str) -> None:
    """E9: an escaped letter is that letter (RFC 3986 section 2.3); twice escaped it is not."""
    token = f"Authorization: Bearer {arena.mint.token()}"
    assert (await arena.get(token, path=f"/t/{slug}/v1/me")).json["tenant"]["slug"] == "acme"
    twice = slug.replace("%", "%25") if "%" in slug else "%2561cme"
    assert (await arena.get(token, path=f"/t/{twice}/v1/me")).shown == (403, "tenant_mismatch")


@pytest.mark.parametrize(
    "path",
    [
        "//t/acme/v1/me",
        "/t//acme/v1/me",
        "/./t/acme/v1/me",
        "/t/acme/../globex/v1/me",
        "/T/acme/v1/me",
        "/t/acme/v1/me/",
        "/t/acme\\v1\\me",
        "/v1/me;x",
        "/v1//me",
    ],
)
async def test_e9_paths_are_not_normalised(arena: Arena, path: str) -> None:
    answer = await arena.get(f"Authorization: Bearer {arena.mint.token()}", path=path)
    assert (answer.status, answer.header("location")) == (404, None)


@pytest.mark.parametrize(
    "name", ["X-Tenant", "X-Tenant-Id", "X-Tenant-Slug", "X-Org", "X-Forwarded-Tenant", "Tenant", "X-Realm"]
)
async def test_e8_header_that_names_another_tenant_is_not_read(arena: Arena, name: str) -> None:
    answer = await arena.get(
        f"Authorization: Bearer {arena.mint.token()}", f"{name}: globex", path="/v1/me?tenant=globex&tenant_id=globex"
    )
    assert answer.shown == ACCEPTED
    assert answer.json["tenant"]["slug"] == "acme"


async def test_e8_body_that_names_another_tenant_is_refused(arena: Arena) -> None:
    answer = await arena.client.post(
        "/v1/items",
        json={"title": "x", "tenant_id": str(uuid.uuid4())},
        headers={"Authorization": f"Bearer {arena.mint.token()}"},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_e10_row_that_moves_to_another_issuer_ends_the_old_issuers_tokens_at_once() -> None:
    stage = Stage(cached=True)
    old = stage.token()
    assert await stage.outcome(old) == "accepted:acme"
    realm = stage.snapshot.find(stage.issuer("acme"))
    assert realm is not None
    moved = replace(realm, issuer="https://new.example/realms/acme", realm_url="https://new.example/realms/acme")
    stage.world.answers[moved.issuer] = jwks(Key("moved"))
    stage.snapshot.put(moved)
    assert await stage.outcome(old) == "invalid_token:unknown_issuer"
    new = {**stage.claims(), "iss": moved.issuer}
    assert await stage.outcome(Key("moved").token(new)) == "accepted:acme"
    assert await stage.outcome(stage.keys["acme"].token(new)) == "invalid_token:unknown_key"


async def test_e14_internal_name_of_a_realm_is_another_issuer(arena: Arena) -> None:
    """E14: Keycloak behind two host names signs what it was asked under; only the registered name counts."""
    raw = arena.mint.token(claims={"iss": arena.mint.issuer().replace("127.0.0.1", "keycloak.internal")})
    assert (await arena.verified(raw)).reason == (await arena.served(raw)).reason == "unknown_issuer"
