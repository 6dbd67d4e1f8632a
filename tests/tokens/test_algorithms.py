"""Which algorithms a signature may have: those of the registry row, and never a secret one."""

from __future__ import annotations

import json

import pytest

from tests.support.tokens import Key, b64, jwks
from tests.support.verifying import Stage


async def test_hmac_with_the_public_key_is_refused(stage: Stage) -> None:
    import hashlib
    import hmac

    secret = json.dumps(stage.keys["acme"].jwk()).encode()
    text = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'kid-acme'}).encode())}.{b64(json.dumps(stage.claims()).encode())}"
    raw = f"{text}.{b64(hmac.digest(secret, text.encode(), hashlib.sha256))}"
    assert await stage.outcome(raw) == "invalid_token:algorithm_refused"


async def test_algorithm_comes_from_the_registry_row(stage: Stage) -> None:
    key = Key("acme-ec", algorithm="ES256")
    stage.world.answers[stage.issuer("acme")] = jwks(Key("acme"), key)
    raw = key.token(stage.claims())
    assert await stage.outcome(raw) == "invalid_token:algorithm_refused"
    stage.add("acme", algorithms=frozenset({"ES256"}))
    assert await stage.outcome(raw) == "accepted:acme"
    assert await stage.outcome(stage.token()) == "invalid_token:algorithm_refused"


@pytest.mark.parametrize("algorithm", ["RS384", "PS256", "ES256", "EdDSA"])
async def test_each_allowed_algorithm_verifies(stage: Stage, algorithm: str) -> None:
    key = Key(f"acme-{algorithm}", algorithm=algorithm)
    stage.world.answers[stage.issuer("acme")] = jwks(key)
    stage.add("acme", algorithms=frozenset({algorithm}))
    assert await stage.outcome(key.token(stage.claims())) == "accepted:acme"
