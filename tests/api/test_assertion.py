"""The internal assertion: what it says, how long, for whom; off unless it is turned on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from tenants_api.assertions.minting import ASSERTION_TYPE, Assertions
from tenants_api.composition import Services
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.encoding.sealing import Seal
from tenants_api.readiness import NotReady
from tenants_api.settings import SettingsError, load_settings
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.errors import InvalidToken
from tests.support.asserting import OTHER_SECRET, SECRET, Verifier, caller
from tests.support.realms import services_for, settings_for
from tests.support.stack import ApiClient, bearer, onboard, running_app
from tests.support.tokens import Clock

ON = {
    "assertion_secret": SECRET,
    "assertion_issuer": "https://api.example",
    "assertion_audiences": ("internal", "billing"),
}


@pytest.fixture(scope="module")
async def api(realms: DevRealmServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ApiClient]:
    async with running_app(tmp_path_factory.mktemp("assertion"), realms, **ON) as opened:
        for name in ("acme", "globex"):
            await onboard(opened, name)
        yield opened


def services(api: ApiClient) -> Services:
    opened: Services = api.app.state.services
    return opened


def assertion(api: ApiClient) -> Assertions:
    found = services(api).assertion
    assert found is not None
    return found


async def published(api: ApiClient) -> Verifier:
    answer = await api.get("/.well-known/jwks.json")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "public, max-age=300")
    return Verifier(answer.json(), Clock(now=services(api).clocks.wall()))


async def test_assertion_of_each_tenant_verifies_with_the_published_keys_and_says_whose_it_is(api: ApiClient) -> None:
    for name in ("acme", "globex"):
        token = api.server.realm(name).mint(username="carol", claims={"act": {"sub": "somebody"}, "may_act": {}})
        me = (await api.get("/v1/me", headers=bearer(token))).json()
        raw = assertion(api).mint(await services(api).verifier.verify(Credential.bearer(token)))
        claims = (await published(api)).claims(raw)
        assert set(claims) == {
            *("iss", "aud", "sub", "tenant_id", "tenant_slug", "roles", "original_issuer", "iat", "exp", "jti")
        }, "nothing else of the caller's token, and never `act`"
        assert (claims["tenant_id"], claims["tenant_slug"]) == (me["tenant"]["id"], name)
        assert (claims["sub"], claims["roles"]) == (me["subject"], me["roles"])
        assert (claims["iss"], claims["original_issuer"]) == ("https://api.example", me["issuer"])
        assert claims["exp"] - claims["iat"] == 60


async def test_every_assertion_has_an_id_of_its_own_and_a_type_of_its_own(api: ApiClient) -> None:
    someone = caller(expires_at=services(api).clocks.wall() + 300)
    first, second = (assertion(api).mint(someone) for _ in range(2))
    verifier = await published(api)
    assert verifier.claims(first)["jti"] != verifier.claims(second)["jti"]
    assert jwt.get_unverified_header(first)["typ"] == ASSERTION_TYPE


async def test_assertion_is_for_one_audience(api: ApiClient) -> None:
    someone = caller(expires_at=services(api).clocks.wall() + 300)
    verifier = await published(api)
    raw = assertion(api).mint(someone, audience="billing")
    assert verifier.claims(raw, audience="billing")["aud"] == "billing"
    with pytest.raises(jwt.InvalidAudienceError):
        verifier.claims(raw)
    with pytest.raises(ValueError, match="elsewhere"):
        assertion(api).mint(someone, audience="elsewhere")


async def test_assertion_does_not_outlive_the_callers_token(api: ApiClient) -> None:
    now = int(services(api).clocks.wall())
    leeway = services(api).settings.leeway
    raw = assertion(api).mint(caller(expires_at=now + 1))
    assert (await published(api)).claims(raw)["exp"] == now + 1 + leeway
    with pytest.raises(ValueError, match="expired"):
        assertion(api).mint(caller(expires_at=now - leeway - 1))


async def test_assertion_is_no_bearer_token_here(api: ApiClient) -> None:
    raw = assertion(api).mint(caller(expires_at=services(api).clocks.wall() + 300))
    assert (await api.me(raw)).json()["code"] == "invalid_token"
    with pytest.raises(InvalidToken) as refused:
        await services(api).verifier.verify(Credential.bearer(raw))
    assert refused.value.refusal is not None
    assert refused.value.refusal.reason == "header_type"


async def test_published_keys_hold_no_private_member(api: ApiClient) -> None:
    keys: list[dict[str, Any]] = (await api.get("/.well-known/jwks.json")).json()["keys"]
    assert [set(key) for key in keys] == [{"kty", "crv", "x", "y", "kid", "use", "alg"}]


async def test_two_replicas_that_start_together_verify_each_others_assertions(
    realms: DevRealmServer, tmp_path: Path
) -> None:
    settings = settings_for(realms, tmp_path, **ON)
    async with services_for(settings) as first, services_for(settings) as second:
        assert first.assertion is not None
        assert second.assertion is not None
        await asyncio.gather(first.assertion.renew(), second.assertion.renew())
        now = first.clocks.wall()
        raw = first.assertion.mint(caller(expires_at=now + 300))
        assert Verifier(second.assertion.jwks(), Clock(now=now)).claims(raw)["tenant_slug"] == "acme"


async def test_assertion_is_off_unless_a_secret_turns_it_on(client: ApiClient) -> None:
    assert client.app.state.services.assertion is None
    assert (await client.get("/.well-known/jwks.json")).json()["code"] == "not_found"


async def test_start_under_another_secret_says_what_to_do(realms: DevRealmServer, tmp_path: Path) -> None:
    async with services_for(settings_for(realms, tmp_path, **ON)):
        pass
    changed = settings_for(realms, tmp_path, **{**ON, "assertion_secret": OTHER_SECRET})
    with pytest.raises(NotReady, match="TENANTS_ASSERTION_SECRET=new,old") as stopped:
        async with services_for(changed):
            pass
    assert OTHER_SECRET not in str(stopped.value)
    both = settings_for(realms, tmp_path, **{**ON, "assertion_secret": f"{OTHER_SECRET},{SECRET}"})
    async with services_for(both) as opened:
        assert opened.assertion is not None


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"assertion_secret": "short"}, "TENANTS_ASSERTION_SECRET"),
        ({"assertion_secret": f"{SECRET},short"}, "TENANTS_ASSERTION_SECRET"),
        ({"assertion_secret": SECRET}, "TENANTS_ASSERTION_ISSUER"),
        ({"assertion_secret": SECRET, "public_url": "https://a.example", "assertion_audiences": ""}, "AUDIENCES"),
    ],
)
def test_wrong_setting_of_the_assertion_is_named(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as refused:
        load_settings(_env_file=None, **wrong)
    assert "short" not in str(refused.value)
    assert SECRET not in str(refused.value)


def test_seal_opens_only_for_the_place_that_it_was_made_for() -> None:
    sealed = Seal([SECRET]).close(b"private", context=b"1:0")
    assert Seal([OTHER_SECRET, SECRET]).open(sealed, context=b"1:0") == b"private"
    assert Seal([SECRET]).close(b"private", context=b"1:0") != sealed
