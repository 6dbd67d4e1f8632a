"""I of the catalogue: what a cache remembers ends when the reason for it ends."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest

from tenants_api.clocks import Clocks
from tenants_api.tokens.authenticator import Authenticated
from tenants_api.tokens.cache import BYTES_PER_TOKEN, VerifiedTokens
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.principal import Principal
from tenants_api.tokens.realms import TrustedRealm
from tests.attacks.arena import Arena, Outcome
from tests.attacks.battery.signature import twin
from tests.support.stack import ADMIN_KEY
from tests.support.tokens import Key, jwks
from tests.support.verifying import Stage

pytestmark = pytest.mark.xdist_group("battery-i")
GOOD = Outcome(200, "", "")
SUSPENDED = Outcome(403, "tenant_suspended", "tenant_suspended")


async def outcomes(arena: Arena, raw: str) -> set[Outcome]:
    """By the server and by the function: one and the same."""
    return {await arena.served(raw), await arena.verified(raw)}


async def admin(arena: Arena, method: str, path: str, **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}", "If-Match": "*"}
    answer = await arena.client.request(method, f"/admin/v1/tenants{path}", headers=headers, **more)
    assert answer.is_success, answer.text
    return answer.json()


@asynccontextmanager
async def suspended(arena: Arena, slug: str) -> AsyncIterator[None]:
    await admin(arena, "POST", f"/{slug}/suspend", json={})
    try:
        yield
    finally:
        await admin(arena, "POST", f"/{slug}/resume", json={})


async def test_i1_suspension_ends_a_token_that_was_just_accepted_and_nobody_elses(arena: Arena) -> None:
    raw, other = arena.mint.token("globex"), arena.mint.token("acme")
    assert await outcomes(arena, raw) == await outcomes(arena, other) == {GOOD}
    async with suspended(arena, "globex"):
        assert await outcomes(arena, raw) == {SUSPENDED}
        assert await outcomes(arena, arena.mint.token("globex")) == {SUSPENDED}
        assert await outcomes(arena, other) == {GOOD}
    assert await outcomes(arena, raw) == {GOOD}


async def test_i2_suspension_shows_to_nobody_without_a_good_token(arena: Arena) -> None:
    now = int(time.time())
    tokens = {
        "bad_signature": arena.mint.token("globex", sign=arena.mint.signer("acme")),
        "expired": arena.mint.token("globex", claims={"iat": now - 600, "exp": now - 300}),
        "wrong_audience": arena.mint.token("globex", claims={"aud": "account"}),
        "not_an_access_token": arena.mint.token("globex", claims={"typ": "ID"}),
    }
    async with suspended(arena, "globex"):
        for reason, raw in tokens.items():
            assert {(found.status, found.reason) for found in await outcomes(arena, raw)} == {(401, reason)}


@pytest.mark.parametrize(
    ("after", "outcome"), [(299, "accepted:acme"), (329, "accepted:acme"), (330, "token_expired:expired")]
)
async def test_i3_cached_token_expires_at_the_same_second_as_any_other(after: int, outcome: str) -> None:
    for cached in (True, False):
        stage = Stage(cached=cached)
        raw = stage.token()
        assert await stage.outcome(raw) == "accepted:acme"
        stage.clock.now += after
        assert await stage.outcome(raw) == outcome


async def test_i4_no_other_spelling_of_a_cached_token_is_accepted_and_its_twin_ends_with_it(arena: Arena) -> None:
    raw = arena.mint.token("curves", algorithm="ES256")
    assert await outcomes(arena, raw) == await outcomes(arena, twin(raw)) == {GOOD}
    for other in (raw + "=", raw + "==", raw.swapcase(), raw + ".", raw[:-1]):
        assert {found.status for found in await outcomes(arena, other)} == {401}
    async with suspended(arena, "curves"):
        assert await outcomes(arena, raw) == await outcomes(arena, twin(raw)) == {SUSPENDED}


async def test_i5_tokens_that_say_the_same_of_two_tenants_are_never_mixed_up(arena: Arena) -> None:
    """I5: same subject, audience, time and jti, many at once; only issuer and signature differ."""
    same = {"sub": "s", "jti": "j", "iat": int(time.time()), "exp": int(time.time()) + 300}
    tokens = [(slug, arena.mint.token(slug, claims=same)) for slug in ("acme", "globex")] * 20
    answers = await asyncio.gather(*(arena.me(raw) for _, raw in tokens))
    assert [answer.json["tenant"]["slug"] for answer in answers] == [slug for slug, _ in tokens]


CLOCKS = Clocks(wall=lambda: 0, monotonic=lambda: 0)


def keep(cache: VerifiedTokens, token: bytes, *, principal: Principal, realm: TrustedRealm) -> None:
    entry = Authenticated(principal, realm, realm.epoch, principal.expires_at, any_path=True)
    cache.put(sha256(token).digest(), entry=entry, tenant=None)


def kept(cache: VerifiedTokens, token: bytes) -> Principal | None:
    _, entry = cache.find(token)
    return entry.principal if entry is not None else None


async def test_i6_more_tokens_than_the_cache_holds_do_not_make_it_grow() -> None:
    stage = Stage()
    principal = await stage.verifier.verify(Credential.bearer(stage.token()))
    realm = stage.snapshot.find(stage.issuer("acme"))
    assert realm is not None
    cache = VerifiedTokens(100, clocks=CLOCKS)
    for number in range(5000):
        keep(cache, b"%d" % number, principal=principal, realm=realm)
        assert len(cache) <= 100
    realm.renew_at = float("inf")
    assert kept(cache, b"4999") is principal
    assert kept(cache, b"0") is None


WIDE = "\U0001f600"  # one of these, and each character of the text takes four bytes of memory
FULL: dict[str, dict[str, Any]] = {
    "scope words": {"scope": " ".join(str(number % 10) for number in range(1900))},
    "a wide scope": {"scope": WIDE + "a" * 3800},
    "wide names": dict.fromkeys(("name", "email", "preferred_username", "azp"), WIDE + "a" * 950),
}


@pytest.mark.parametrize("claims", FULL.values(), ids=FULL)
async def test_i6_tokens_full_of_text_stay_within_the_budget_of_the_cache(claims: dict[str, Any]) -> None:
    """I6, D8: 1,900 words of scope took 97 KB a token, 1.8 GB in a worker."""
    stage = Stage(cached=True)
    key = Key("acme", algorithm="EdDSA")
    stage.add("acme", algorithms=frozenset({"EdDSA"}))
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    raws = [key.token(stage.claims(**claims, jti=str(number))) for number in range(600)]
    assert await stage.outcome(raws[0]) == "accepted:acme"
    tracemalloc.start()
    try:
        for raw in raws:
            assert await stage.outcome(raw) == "accepted:acme"
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 1 < stage.verifier.cached_tokens < 600
    assert taken < 1.2 * 1000 * BYTES_PER_TOKEN
    assert await stage.outcome(stage.token("globex")) == "accepted:globex"


async def test_i6_two_thousand_tokens_full_of_text_stay_below_four_megabytes() -> None:
    """I6, D8: the budget is that of the tokens that the cache was made for, 2 KiB each."""
    stage = Stage()
    principal = await stage.verifier.verify(Credential.bearer(stage.token()))
    realm = stage.snapshot.find(stage.issuer("acme"))
    assert realm is not None
    cache = VerifiedTokens(2000, clocks=CLOCKS)
    tracemalloc.start()
    try:
        for number in range(2000):
            full = principal._replace(scope=f"{number} " * 1000, full_name=f"{WIDE}{number}" * 100)
            keep(cache, b"%d" % number, principal=full, realm=realm)
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 2000 * BYTES_PER_TOKEN
    assert len(cache) > 200


async def test_i6_usual_tokens_fill_the_cache_to_its_capacity() -> None:
    """I6, D8: what the budget is measured by."""
    stage = Stage()
    realm = stage.snapshot.find(stage.issuer("acme"))
    assert realm is not None
    cache = VerifiedTokens(200, clocks=CLOCKS)
    for number in range(200):
        usual = await stage.verifier.verify(Credential.bearer(stage.token(jti=str(number))))
        keep(cache, b"%d" % number, principal=usual, realm=realm)
    assert len(cache) == 200


async def test_i6_entry_that_is_used_again_is_counted_again_and_none_is_lost_for_it() -> None:
    """I6, D8: the budget follows an entry from one generation to the other."""
    stage = Stage()
    principal = (await stage.verifier.verify(Credential.bearer(stage.token())))._replace(scope="a" * 20_000)
    realm = stage.snapshot.find(stage.issuer("acme"))
    assert realm is not None
    realm.renew_at = float("inf")
    cache = VerifiedTokens(100, clocks=CLOCKS)  # 200 KiB, half of them for either generation: four of these entries
    for number in range(100):
        keep(cache, b"%d" % number, principal=principal, realm=realm)
        assert kept(cache, b"%d" % number) is principal
        assert kept(cache, b"0") is principal, "it is used all the time"
        assert len(cache) <= 10


async def test_i6_token_larger_than_the_budget_is_verified_and_not_kept() -> None:
    """I6, D8"""
    stage = Stage()
    principal = (await stage.verifier.verify(Credential.bearer(stage.token())))._replace(scope="a" * 200_000)
    realm = stage.snapshot.find(stage.issuer("acme"))
    assert realm is not None
    cache = VerifiedTokens(100, clocks=CLOCKS)
    keep(cache, b"large", principal=principal, realm=realm)
    assert len(cache) == 0


async def test_i6_refused_tokens_leave_no_trace_in_the_cache() -> None:
    stage = Stage(cached=True)
    assert await stage.outcome(stage.token()) == "accepted:acme"
    for number in range(100):
        await stage.outcome(stage.token(aud=f"x{number}"))
        await stage.outcome(stage.token(iss=f"https://evil.example/{number}"))
    assert stage.verifier.cached_tokens == 1


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "audiences": ({"audiences": ["another-api"]}, "wrong_audience"),
    "client": ({"client_id": "another-api"}, "wrong_audience"),
    "algorithms": ({"algorithms": ["ES256"]}, "algorithm_refused"),
    "authorized parties": ({"authorized_parties": ["mobile"]}, "wrong_authorized_party"),
    "disabled": ({"enabled": False}, "unknown_issuer"),
}


@pytest.mark.parametrize(("change", "reason"), CHANGES.values(), ids=CHANGES)
async def test_i7_changed_realm_counts_for_the_next_request_of_a_cached_token(
    arena: Arena, change: dict[str, Any], reason: str
) -> None:
    raw = arena.mint.token("globex")
    realm = (await admin(arena, "GET", "/globex"))["realms"][0]
    before = {name: realm[name] for name in ("audiences", "client_id", "algorithms", "authorized_parties", "enabled")}
    assert await outcomes(arena, raw) == {GOOD}
    await admin(arena, "PATCH", f"/globex/realms/{realm['id']}", json=change)
    try:
        assert await outcomes(arena, raw) == {Outcome(401, "invalid_token", reason)}
    finally:
        await admin(arena, "PATCH", f"/globex/realms/{realm['id']}", json=before)
    assert await outcomes(arena, raw) == {GOOD}


async def test_i7_changed_role_mapping_counts_for_the_next_request_of_a_cached_token(arena: Arena) -> None:
    raw = arena.mint.token("globex")
    assert (await arena.me(raw)).json["roles"] == ["editor"]
    await admin(arena, "PUT", "/globex/role-mapping", json=[{"from": "realm", "value": "tenant-user", "role": "admin"}])
    assert (await arena.me(raw)).json["roles"] == ["admin"]
    await admin(arena, "PUT", "/globex/role-mapping", json=[])
    assert (await arena.me(raw)).json["roles"] == ["editor"]


async def test_i9_not_before_of_the_realm_ends_cached_tokens_with_the_next_fetch() -> None:
    stage = Stage(cached=True)
    raw = stage.token()
    assert await stage.outcome(raw) == "accepted:acme"
    stage.world.not_before[stage.issuer("acme")] = int(stage.clock.now) + 1
    stage.clock.pass_time(299)
    await stage.outcome(raw)  # late in the lifetime: begins a fetch ahead of its end
    realm = stage.snapshot.find(stage.issuer("acme"))
    assert realm is not None
    await stage.jwks_cache.of(realm).refresh()
    assert await stage.outcome(raw) == "invalid_token:issued_before_not_before"


async def test_i10_kid_that_was_unknown_is_known_once_the_realm_publishes_it() -> None:
    """I10: that a kid was looked for in vain is not remembered against it."""
    stage = Stage(cached=True)
    new = Key("acme-new")
    raw = new.token(stage.claims())
    assert await stage.outcome(raw) == "invalid_token:unknown_key"
    stage.world.answers[stage.issuer("acme")] = jwks(Key("acme"), new)
    stage.clock.pass_time(2)
    assert await stage.outcome(raw) == "accepted:acme"


async def test_i11_nothing_that_a_route_is_given_can_be_changed() -> None:
    """I11: the principal is the cache's own; a route that could edit it would edit the next request's."""
    stage = Stage(cached=True)
    raw = stage.token()
    principal = await stage.verifier.verify(Credential.bearer(raw))
    assert await stage.verifier.verify(Credential.bearer(raw)) is principal
    for name, value in principal._asdict().items():
        with pytest.raises(AttributeError):
            setattr(principal, name, None)
        assert isinstance(value, str | int | frozenset | tuple | type(principal.tenant) | None)
    with pytest.raises(dataclasses.FrozenInstanceError):
        principal.tenant.slug = "globex"  # type: ignore[misc]


async def test_i12_requests_that_fail_in_between_leave_every_other_its_own_tenant(arena: Arena) -> None:
    """I12: no tenant lives in a context that the next request inherits."""
    forged = arena.mint.token("globex", sign=arena.mint.signer("acme"))
    wanted = ["acme", "globex", None, "curves", None] * 8
    tokens = [forged if slug is None else arena.mint.token(slug) for slug in wanted]
    answers = await asyncio.gather(*(arena.me(raw) for raw in tokens))
    assert [answer.json.get("tenant", {}).get("slug") for answer in answers] == wanted
