"""The key ring: rotation, withdrawal, outage, floods. Time is moved by hand."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tenants_api.verification.jwk import BrokenKeySet, compact_key_set, parse_key_set
from tenants_api.verification.key_state import KeyPolicy
from tenants_api.verification.unknown_kids import MAX_MISSED, UnknownKids
from tests.support.tokens import DROP, Key, b64, jwks
from tests.support.verifying import Stage

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["uncached", "cached"])
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(cached=request.param)


async def settle() -> None:
    """Let background fetches run."""
    for _ in range(20):
        await asyncio.sleep(0)


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


async def test_a_thousand_random_kids_make_few_fetches_and_good_tokens_stay_good(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    bogus = [stage.keys["acme"].token(stage.claims(), kid=f"random-{number}") for number in range(1000)]
    outcomes = set(await asyncio.gather(*map(stage.outcome, bogus)))
    assert outcomes == {"invalid_token:unknown_key"}
    assert stage.world.fetches[stage.issuer("acme")] <= 3
    assert await stage.outcome(stage.token(jti="good")) == "accepted:acme"


async def test_rotated_key_is_accepted_while_bogus_kids_arrive(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    for number in range(3):
        await stage.outcome(stage.keys["acme"].token(stage.claims(), kid=f"random-{number}"))
    new = Key("acme-2")
    stage.world.answers[stage.issuer("acme")] = jwks(stage.keys["acme"], new)
    # The monotonic clock stands still in this test, so the wait for the next turn is real time; let it run.
    stage.clock.pass_time(1.0)
    assert await stage.outcome(new.token(stage.claims())) == "accepted:acme"
    assert await stage.outcome(stage.token(jti="old key")) == "accepted:acme"


async def test_lasting_flood_waits_for_nothing_and_costs_a_fetch_a_second(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    issuer = stage.issuer("acme")
    async with asyncio.timeout(10):  # three looks in vain are waited for (0.75 s); the others are refused at once
        for number in range(1000):
            raw = stage.keys["acme"].token(stage.claims(), kid=f"random-{number}")
            assert await stage.outcome(raw) == "invalid_token:unknown_key"
    assert stage.world.fetches[issuer] <= 8


async def test_rotated_key_is_accepted_within_a_second_of_a_lasting_flood(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    issuer, new = stage.issuer("acme"), Key("acme-2")
    for number in range(50):
        await stage.outcome(stage.keys["acme"].token(stage.claims(), kid=f"random-{number}"))
    stage.world.answers[issuer] = jwks(stage.keys["acme"], new)
    stage.clock.pass_time(1.0)
    assert await stage.outcome(new.token(stage.claims())) == "accepted:acme"
    before = stage.world.fetches[issuer]
    await stage.outcome(stage.keys["acme"].token(stage.claims(), kid="random-again"))
    assert stage.world.fetches[issuer] == before + 1, "a new key resets the budget"


@pytest.mark.parametrize("kids", [1, 3])
async def test_callers_that_go_on_with_withdrawn_keys_spend_nothing_that_a_rotated_key_needs(
    stage: Stage, kids: int
) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    issuer, keys = stage.issuer("acme"), [stage.keys["acme"]]
    gone = [keys[0].token(stage.claims(), kid=f"withdrawn-{number}") for number in range(kids)]
    for _ in range(30):
        assert {await stage.outcome(raw) for raw in gone} == {"invalid_token:unknown_key"}
    stage.clock.pass_time(1.0)  # the last look for the first of them is a second ago
    for number in range(5):
        assert {await stage.outcome(raw) for raw in gone} == {"invalid_token:unknown_key"}
        keys.append(Key(f"acme-{number}"))
        stage.world.answers[issuer] = jwks(*keys)
        assert await stage.outcome(keys[-1].token(stage.claims())) == "accepted:acme"
    before = stage.world.fetches[issuer]
    for _ in range(100):
        await stage.outcome(gone[0])
    assert stage.world.fetches[issuer] <= before + 3


async def test_caller_that_went_on_through_an_outage_spends_nothing_that_a_rotated_key_needs(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    issuer, gone = stage.issuer("acme"), stage.keys["acme"].token(stage.claims(), kid="withdrawn")
    stage.clock.pass_time(1.0)
    stage.world.failures[issuer] = "Unreachable"
    for _ in range(20):
        assert await stage.outcome(gone) == "invalid_token:unknown_key"
        stage.clock.pass_time(0.1)
    del stage.world.failures[issuer]
    stage.clock.pass_time(1.0)
    assert await stage.outcome(gone) == "invalid_token:unknown_key"
    new = Key("acme-2")
    stage.world.answers[issuer] = jwks(stage.keys["acme"], new)
    assert await stage.outcome(new.token(stage.claims())) == "accepted:acme"


async def test_kids_that_were_asked_for_in_vain_take_a_bounded_memory() -> None:
    kids = UnknownKids()
    for number in range(1000):
        kids.miss(f"random-{number}")
    kids.miss("long" * 100)
    repeated = kids.budget_of("random-999")
    assert sum(kids.budget_of(f"random-{number}") is repeated for number in range(1000)) == MAX_MISSED
    assert kids.budget_of("long" * 100) is not repeated


async def test_new_key_in_a_flood_is_looked_for_in_the_background() -> None:
    stage = Stage()
    assert await stage.outcome(stage.token()) == "accepted:acme"
    for number in range(10):
        await stage.outcome(stage.keys["acme"].token(stage.claims(), kid=f"random-{number}"))
    new = Key("acme-2")
    stage.world.answers[stage.issuer("acme")] = jwks(stage.keys["acme"], new)
    raw = new.token(stage.claims())
    async with asyncio.timeout(2):
        while await stage.outcome(raw) != "accepted:acme":
            await asyncio.sleep(0.05)


async def test_refresh_by_hand_does_not_count_a_fetch_that_began_before(stage: Stage) -> None:
    """Else a key withdrawn a moment ago would stay for another lifetime, though the admin asked to look."""
    issuer, old, new = stage.issuer("acme"), stage.keys["acme"], Key("acme-2")
    assert await stage.outcome(stage.token()) == "accepted:acme"
    ring = stage.rings.of(stage.snapshot.find(stage.issuer("acme")))
    gate = stage.world.gates[issuer] = asyncio.Event()
    under_way = asyncio.create_task(ring.refresh())
    await settle()
    stage.world.answers[issuer] = jwks(new)
    by_hand = [asyncio.create_task(ring.refresh()) for _ in range(5)]
    await settle()
    gate.set()
    await asyncio.gather(under_way, *by_hand)
    assert stage.world.fetches[issuer] == 3
    assert await stage.outcome(old.token(stage.claims())) == "invalid_token:unknown_key"
    assert await stage.outcome(new.token(stage.claims())) == "accepted:acme"


async def test_answer_under_way_does_not_replace_a_set_that_was_fetched_later(stage: Stage) -> None:
    """Another replica asked later and was quicker: its set says what the realm withdrew."""
    issuer, new = stage.issuer("acme"), Key("acme-2")
    assert await stage.outcome(stage.token()) == "accepted:acme"
    ring = stage.rings.of(stage.snapshot.find(stage.issuer("acme")))
    gate = stage.world.gates[issuer] = asyncio.Event()
    slow = asyncio.create_task(ring.refresh())
    await settle()
    stage.world.answers[issuer] = jwks(new)
    stage.clock.pass_time(2)
    ring.restore(jwks(new), age=1, not_before=0, enabled=True)
    gate.set()
    await slow
    assert await stage.outcome(stage.token(jti="withdrawn")) == "invalid_token:unknown_key"
    assert await stage.outcome(new.token(stage.claims())) == "accepted:acme"


async def test_first_fetch_that_failed_is_tried_again_within_two_seconds(stage: Stage) -> None:
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    assert await stage.outcome(stage.token()) == "keys_unavailable:keys_unavailable"
    del stage.world.failures[stage.issuer("acme")]
    stage.clock.pass_time(0.3)
    assert await stage.outcome(stage.token()) == "accepted:acme"


async def test_cold_outage_backs_off(stage: Stage) -> None:
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    for _ in range(200):
        assert await stage.outcome(stage.token()) == "keys_unavailable:keys_unavailable"
        stage.clock.pass_time(0.1)
    assert stage.world.fetches[stage.issuer("acme")] <= 9
    assert await stage.outcome(stage.token("globex")) == "accepted:globex"


async def test_known_kids_serve_through_an_outage_until_the_stale_limit(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    for hours in range(1, 24):
        stage.clock.pass_time(3600)
        assert await stage.outcome(stage.token()) == "accepted:acme", hours
    stage.clock.pass_time(3700)
    assert await stage.outcome(stage.token()) == "keys_unavailable:keys_unavailable"
    del stage.world.failures[stage.issuer("acme")]
    stage.clock.pass_time(60)
    assert await stage.outcome(stage.token()) == "accepted:acme"


async def test_foreign_kid_during_an_outage_is_401_not_503(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    raw = stage.keys["acme"].token(stage.claims(), kid="foreign")
    assert await stage.outcome(raw) == "invalid_token:unknown_key"


async def test_first_token_of_a_key_that_was_made_during_an_outage_is_accepted(stage: Stage) -> None:
    """The back-off after an outage must not refuse what the realm issues from its first second on."""
    assert await stage.outcome(stage.token()) == "accepted:acme"
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    for _ in range(12):
        stage.clock.pass_time(60)
        assert await stage.outcome(stage.token()) == "accepted:acme"
        await settle()
    del stage.world.failures[stage.issuer("acme")]
    stage.keys["acme"] = Key("acme-2")
    stage.world.answers[stage.issuer("acme")] = jwks(stage.keys["acme"])
    assert await stage.outcome(stage.token()) == "accepted:acme"


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
    await stage.rings.of(realm).refresh()
    assert await stage.outcome(token) == "invalid_token:bad_signature"


async def test_empty_or_broken_set_never_replaces_a_good_one(stage: Stage) -> None:
    assert await stage.outcome(stage.token()) == "accepted:acme"
    for answer in (b'{"keys": []}', b"<html>", b'{"keys": [{"kty": "oct", "kid": "x", "k": "AA"}]}', b"null"):
        stage.world.answers[stage.issuer("acme")] = answer
        stage.clock.pass_time(400)
        assert await stage.outcome(stage.token()) == "accepted:acme"


async def test_hanging_realm_holds_up_nobody_else(stage: Stage) -> None:
    stage.world.gates[stage.issuer("acme")] = asyncio.Event()
    hanging = [asyncio.create_task(stage.outcome(stage.token(jti=str(number)))) for number in range(50)]
    await settle()
    assert await asyncio.wait_for(stage.outcome(stage.token("globex")), 1) == "accepted:globex"
    assert not any(task.done() for task in hanging)
    stage.world.gates[stage.issuer("acme")].set()
    assert set(await asyncio.gather(*hanging)) == {"accepted:acme"}


async def test_a_hundred_hanging_realms_hold_up_nobody_else(stage: Stage) -> None:
    for number in range(100):
        stage.keys[f"hangs-{number}"] = stage.keys["acme"]  # nobody gets to see it, and a hundred take seconds to make
        stage.add(f"hangs-{number}")
        stage.world.gates[stage.issuer(f"hangs-{number}")] = asyncio.Event()
    hanging = [asyncio.create_task(stage.outcome(stage.token(f"hangs-{number}"))) for number in range(100)]
    await settle()
    assert await asyncio.wait_for(stage.outcome(stage.token("globex")), 1) == "accepted:globex"
    assert not any(task.done() for task in hanging)
    for task in hanging:
        task.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    stage.rings.cancel()


async def test_renewal_that_hangs_lets_the_old_keys_serve() -> None:
    stage = Stage(policy=KeyPolicy(lifetime=300, stale_limit=86_400))
    assert await stage.outcome(stage.token()) == "accepted:acme"
    stage.world.gates[stage.issuer("acme")] = asyncio.Event()
    stage.clock.pass_time(400)
    assert await asyncio.wait_for(stage.outcome(stage.token()), 2) == "accepted:acme"
    stage.world.gates[stage.issuer("acme")].set()


@pytest.mark.parametrize("step", [300, -300, 3600, -3600])
async def test_step_of_the_wall_clock_ends_no_key_and_no_cached_token(stage: Stage, step: int) -> None:
    """Lifetimes are monotonic; only a token's own times are compared with the wall clock."""
    lasting = stage.token(iat=int(stage.clock.now) - 7200, exp=int(stage.clock.now) + 7200)
    assert await stage.outcome(lasting) == "accepted:acme"
    stage.clock.now += step
    assert await stage.outcome(lasting) == "accepted:acme"
    assert await stage.outcome(stage.token()) == "accepted:acme"
    assert stage.world.fetches[stage.issuer("acme")] == 1


@pytest.mark.parametrize("step", [300, -300])
async def test_step_of_the_wall_clock_does_not_stretch_a_back_off(stage: Stage, step: int) -> None:
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    assert await stage.outcome(stage.token()) == "keys_unavailable:keys_unavailable"
    del stage.world.failures[stage.issuer("acme")]
    stage.clock.now += step
    stage.clock.steady += 2
    assert await stage.outcome(stage.token()) == "accepted:acme"


@pytest.mark.parametrize(("ahead", "outcome"), [(29, "accepted:acme"), (31, "invalid_token:issued_in_the_future")])
async def test_realm_whose_clock_is_ahead_gets_the_leeway(stage: Stage, ahead: int, outcome: str) -> None:
    issued = int(stage.clock.now) + ahead
    assert await stage.outcome(stage.token(iat=issued, nbf=issued, exp=issued + 300)) == outcome


async def test_stored_keys_serve_at_start_with_the_realm_gone() -> None:
    stage = Stage()
    stage.world.failures[stage.issuer("acme")] = "Unreachable"
    realm = stage.snapshot.find(stage.issuer("acme"))
    assert realm is not None
    stage.rings.of(realm).restore(jwks(stage.keys["acme"]), age=3600, not_before=0, enabled=True)
    assert await stage.outcome(stage.token()) == "accepted:acme"
    assert stage.rings.of(realm).state.source == "stored"


@pytest.mark.parametrize(
    "odd",
    [
        {"kty": "OKP", "crv": "X25519", "kid": "okp", "x": "AAAA"},
        {"kty": "OKP", "crv": "Ed25519", "kid": "okp", "x": "AAAA", "alg": "EdDSA", "use": "sig"},
        {"kty": "RSA", "kid": "enc", "use": "enc", "alg": "RSA-OAEP", "n": "AA", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "kid": "off", "x": b64(b"\x01" * 32), "y": b64(b"\x01" * 32), "alg": "ES256"},
        {"kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AAAA"},
        {"kty": "RSA", "kid": "broken", "alg": "RS256", "use": "sig", "n": "!!", "e": "AQAB"},
        {"kty": "oct", "kid": "secret", "k": "AAAA"},
        {"kid": "no-kty"},
        7,
        None,
        [],
    ],
    ids=str,
)
async def test_odd_key_in_the_set_leaves_the_others_working(stage: Stage, odd: Any) -> None:
    stage.world.answers[stage.issuer("acme")] = jwks(*([odd] if isinstance(odd, dict) else []), stage.keys["acme"])
    if not isinstance(odd, dict):
        import json

        entries = [odd, stage.keys["acme"].jwk()]
        stage.world.answers[stage.issuer("acme")] = json.dumps({"keys": entries}).encode()
    assert await stage.outcome(stage.token()) == "accepted:acme"


def _small_rsa() -> dict[str, Any]:
    return Key("acme").jwk(n=b64((2**1023 + 1).to_bytes(128)))


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (_small_rsa, "RSA key of 1024 bits"),
        (lambda: Key("acme").jwk(e=b64(b"\x01")), "not a sound RSA key"),
        (lambda: Key("acme").jwk(e=b64(b"\x02")), "not a sound RSA key"),
        (lambda: Key("acme").jwk(d="AAAA"), "private"),
        (lambda: Key("acme").jwk(use="enc"), "not for signatures"),
        (lambda: Key("acme").jwk(key_ops=["encrypt"]), "not for signatures"),
        (lambda: Key("acme").jwk(alg="RSA-OAEP"), "does not fit"),
        (lambda: Key("acme").jwk(alg="HS256"), "does not fit"),
        (lambda: Key("acme").jwk(kid=DROP), "no kid"),
    ],
)
def test_unusable_key_is_skipped_with_its_reason(key: Any, reason: str) -> None:
    with pytest.raises(BrokenKeySet) as broken:
        parse_key_set(jwks(key()))
    assert reason in broken.value.skipped[0].reason


def test_two_signature_keys_under_one_kid_are_both_left_out() -> None:
    other = Key("other", kid="kid-acme")
    keys = parse_key_set(jwks(Key("acme"), other, Key("third")))
    assert set(keys.keys) == {"kid-third"}


def test_encryption_key_with_the_same_kid_does_not_disturb_the_signature_key() -> None:
    keys = parse_key_set(jwks(Key("other").jwk(kid="kid-acme", use="enc", alg="RSA-OAEP"), Key("acme")))
    assert set(keys.keys) == {"kid-acme"}


@pytest.mark.parametrize("document", [b"", b"{}", b'{"keys": {}}', b'{"keys": null}', b"[]", b"\xff", b"[" * 9999])
def test_document_that_is_no_key_set_is_refused(document: bytes) -> None:
    with pytest.raises(BrokenKeySet):
        parse_key_set(document)


def test_set_with_too_many_keys_is_refused() -> None:
    with pytest.raises(BrokenKeySet, match="10000"):
        parse_key_set(jwks(*[{"kid": str(number)} for number in range(10_000)]))


def test_stored_set_keeps_what_verifying_needs_and_nothing_else() -> None:
    document = jwks(Key("acme").jwk(x5c=["MII"]), Key("other").jwk(use="enc", alg="RSA-OAEP"))
    stored = compact_key_set(document, kids={"kid-acme"})
    assert [sorted(key) for key in json.loads(stored)["keys"]] == [["alg", "e", "kid", "kty", "n", "use"]]
    assert set(parse_key_set(stored).keys) == {"kid-acme"}
