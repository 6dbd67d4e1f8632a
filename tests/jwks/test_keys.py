"""The key ring: when it fetches, when it refreshes, and how a withdrawn key ends. Time is moved by hand."""

from __future__ import annotations

import asyncio

from tests.support.tokens import Key, jwks
from tests.support.verifying import Stage, settle


async def test_fifty_cold_requests_make_one_fetch(stage: Stage) -> None:
    tokens = [stage.token(jti=str(number)) for number in range(50)]
    assert set(await asyncio.gather(*map(stage.outcome, tokens))) == {"accepted:acme"}
    assert stage.world.fetches == {stage.issuer("acme"): 1}


async def test_cancelled_caller_does_not_end_the_fetch_for_the_others(stage: Stage) -> None:
    gate = stage.world.gates[stage.issuer("acme")] = asyncio.Event()
    first = asyncio.create_task(stage.outcome(stage.token(jti="1")))
    await settle()
    second = asyncio.create_task(stage.outcome(stage.token(jti="2")))
    await settle()
    first.cancel()
    gate.set()
    assert await second == "accepted:acme"
    assert stage.world.fetches[stage.issuer("acme")] == 1


async def test_warm_realm_needs_no_fetch_for_a_new_token(stage: Stage) -> None:
    for number in range(20):
        assert await stage.outcome(stage.token(jti=str(number))) == "accepted:acme"
    assert stage.world.fetches[stage.issuer("acme")] == 1


async def test_refresh_by_hand_does_not_count_a_fetch_that_began_before(stage: Stage) -> None:
    """Else a key withdrawn a moment ago would stay for another lifetime, though the admin asked to look."""
    issuer, old, new = stage.issuer("acme"), stage.keys["acme"], Key("acme-2")
    assert await stage.outcome(stage.token()) == "accepted:acme"
    realm_keys = stage.jwks_cache.of(stage.snapshot.find(stage.issuer("acme")))
    gate = stage.world.gates[issuer] = asyncio.Event()
    under_way = asyncio.create_task(realm_keys.refresh())
    await settle()
    stage.world.answers[issuer] = jwks(new)
    by_hand = [asyncio.create_task(realm_keys.refresh()) for _ in range(5)]
    await settle()
    gate.set()
    await asyncio.gather(under_way, *by_hand)
    assert stage.world.fetches[issuer] == 3
    assert await stage.outcome(old.token(stage.claims())) == "invalid_token:unknown_key"
    assert await stage.outcome(new.token(stage.claims())) == "accepted:acme"


async def test_fetch_that_brings_the_same_document_keeps_the_parsed_set(stage: Stage) -> None:
    issuer = stage.issuer("acme")
    assert await stage.outcome(stage.token()) == "accepted:acme"
    realm_keys = stage.jwks_cache.of(stage.snapshot.find(issuer))
    before = realm_keys.state.keys
    stage.clock.pass_time(1)
    assert await realm_keys.refresh() is None
    assert realm_keys.state.keys is before
    assert (stage.world.fetches[issuer], realm_keys.age) == (2, 0)
    stage.world.answers[issuer] = jwks(stage.keys["acme"], Key("acme-2"))
    assert await realm_keys.refresh() is None
    assert realm_keys.state.keys is not before


async def test_answer_under_way_does_not_replace_a_set_that_was_fetched_later(stage: Stage) -> None:
    """Another replica asked later and was quicker: its set says what the realm withdrew."""
    issuer, new = stage.issuer("acme"), Key("acme-2")
    assert await stage.outcome(stage.token()) == "accepted:acme"
    realm_keys = stage.jwks_cache.of(stage.snapshot.find(stage.issuer("acme")))
    gate = stage.world.gates[issuer] = asyncio.Event()
    slow = asyncio.create_task(realm_keys.refresh())
    await settle()
    stage.world.answers[issuer] = jwks(new)
    stage.clock.pass_time(2)
    realm_keys.restore(jwks(new), age=1, not_before=0, enabled=True)
    gate.set()
    await slow
    assert await stage.outcome(stage.token(jti="withdrawn")) == "invalid_token:unknown_key"
    assert await stage.outcome(new.token(stage.claims())) == "accepted:acme"


async def test_withdrawn_key_is_refused_within_the_lifetime_without_a_trigger(stage: Stage) -> None:
    long_lived = {"exp": int(stage.clock.now) + 3600}
    token = stage.token(**long_lived)
    assert await stage.outcome(token) == "accepted:acme"
    stage.world.answers[stage.issuer("acme")] = jwks(Key("acme-2"))
    stage.clock.pass_time(301)
    assert await stage.outcome(token) == "invalid_token:unknown_key"


async def test_withdrawn_key_is_noticed_ahead_of_the_lifetime_while_the_realm_is_in_use(stage: Stage) -> None:
    token = stage.token(exp=int(stage.clock.now) + 3600)
    assert await stage.outcome(token) == "accepted:acme"
    stage.world.answers[stage.issuer("acme")] = jwks(Key("acme-2"))
    stage.clock.pass_time(270)
    assert await stage.outcome(token) == "accepted:acme"  # this use starts the refresh, and does not wait for it
    await settle()
    assert await stage.outcome(token) == "invalid_token:unknown_key"


async def test_token_of_a_key_that_was_replaced_under_its_kid_is_refused(stage: Stage) -> None:
    """A verified token is forgotten with its key, also when another key has the name now."""
    token = stage.token(exp=int(stage.clock.now) + 3600)
    assert await stage.outcome(token) == "accepted:acme"
    stage.world.answers[stage.issuer("acme")] = jwks(Key("another", kid=stage.keys["acme"].id))
    realm = stage.snapshot.find(stage.issuer("acme"))
    assert realm is not None
    await stage.jwks_cache.of(realm).refresh()
    assert await stage.outcome(token) == "invalid_token:bad_signature"


async def test_empty_or_broken_set_never_replaces_a_good_one(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    for answer in (b'{"keys": []}', b"<html>", b'{"keys": [{"kty": "oct", "kid": "x", "k": "AA"}]}', b"null"):
        stage.world.answers[stage.issuer("acme")] = answer
        stage.clock.pass_time(400)
        assert await stage.outcome(stage.token()) == "accepted:acme"
