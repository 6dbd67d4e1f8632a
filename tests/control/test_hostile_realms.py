"""What a realm says about itself, in conditions, answers and the database: printable, bounded, never a 500."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tenants_api.control.checks import MAX_MESSAGE_CHARACTERS
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.jwks.parse import MAX_KID_CHARACTERS, BrokenKeySet, parse_key_set
from tests.support.stack import CLIENT_ID, ApiClient, running_app
from tests.support.tokens import Key, jwks

HOSTILE = ["a\0b", "k" * 100_000, "a\nFORGED line", "\x1b[31m", "\ud800", "\u202eelbadaer"]


@pytest.fixture
async def client(tmp_path: Path, realms: DevRealmServer, database_url: str) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path, realms, database_url=database_url) as running:
        yield running


async def register(client: ApiClient, name: str) -> dict[str, Any]:
    realm = {"issuer": client.server.realm(name).issuer, "client_id": CLIENT_ID}
    answer = await client.admin("POST", "/tenants", json={"slug": name, "name": name, "realms": [realm]})
    assert answer.status_code == 201, answer.text
    tenant: dict[str, Any] = answer.json()
    return tenant


def is_harmless(text: str) -> bool:
    return text.isprintable() and len(text) <= MAX_MESSAGE_CHARACTERS + 1


@pytest.mark.parametrize("kid", [kid for kid in HOSTILE if kid != "\ud800"], ids=ascii)
@pytest.mark.parametrize("usable", [True, False])
async def test_kid_of_a_realm_is_bounded_and_printable_in_its_conditions(
    client: ApiClient, kid: str, usable: bool
) -> None:
    realm = client.server.realm("acme")
    realm.faults.empty_keys = not usable
    realm.faults.extra_keys = [Key("hostile", kid=kid).jwk(), Key("other", kid=kid).jwk(use="enc")]
    tenant = await register(client, "acme")
    assert tenant["state"] == ("active" if usable else "draft")
    assert all(is_harmless(condition["message"]) for condition in tenant["conditions"])
    assert (await register(client, "globex"))["state"] == "active"
    keys = await client.admin("GET", f"/tenants/acme/realms/{tenant['realms'][0]['id']}/keys")
    assert keys.status_code == 200
    assert all(is_harmless(key["kid"]) for key in keys.json()["keys"])


@pytest.mark.parametrize("issuer", ["a\0b", "\u202e" * 500, "x" * 100_000], ids=["nul", "bidi", "long"])
async def test_issuer_that_a_realm_states_is_bounded_and_printable_in_its_conditions(
    client: ApiClient, issuer: str
) -> None:
    client.server.realm("acme").faults.wrong_issuer = issuer
    tenant = await register(client, "acme")
    assert tenant["state"] == "draft"
    assert all(is_harmless(condition["message"]) for condition in tenant["conditions"])
    assert (await register(client, "globex"))["state"] == "active"


@pytest.mark.parametrize("kid", HOSTILE, ids=ascii)
def test_key_whose_kid_cannot_be_shown_is_left_out_and_the_others_stay(kid: str) -> None:
    good = Key("good")
    found = parse_key_set(jwks(good, Key("hostile", kid=kid)))
    assert [key.kid for key in found.keys.values()] == [good.id]
    assert len(found.skipped) == 1


def test_longest_kid_is_used_and_a_longer_one_is_not() -> None:
    longest = "k" * MAX_KID_CHARACTERS
    assert [key.kid for key in parse_key_set(jwks(Key("a", kid=longest))).keys.values()] == [longest]
    with pytest.raises(BrokenKeySet):
        parse_key_set(jwks(Key("a", kid=longest + "k")))
