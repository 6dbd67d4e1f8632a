"""Rotation, withdrawal and shared keys."""

from __future__ import annotations

import pytest

from tenants_api.devkit.realms import DevRealm
from tests.devkit.conftest import BASE_URL
from tests.devkit.samples import claims_of, header_of


def test_rotated_key_signs_at_once_and_the_old_one_stays_listed(acme: DevRealm) -> None:
    before = acme.mint()
    kid = acme.rotate()
    assert header_of(acme.mint())["kid"] == kid != header_of(before)["kid"]
    assert _signature_kids(acme) == [kid, header_of(before)["kid"]]
    assert acme.keys.decode(before) == claims_of(before)


def test_rotation_before_the_first_token_keeps_the_key_that_was_there(acme: DevRealm) -> None:
    acme.rotate()
    assert len(_signature_kids(acme)) == 2


def test_rotation_without_the_old_key_lists_the_new_one_only(acme: DevRealm) -> None:
    before = acme.mint()
    kid = acme.rotate(keep_old=False)
    assert _signature_kids(acme) == [kid]
    assert acme.keys.decode(before) is None


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "PS256", "RS384"])
def test_rotation_to_another_algorithm_changes_every_later_token(acme: DevRealm, algorithm: str) -> None:
    kid = acme.rotate(algorithm=algorithm)
    for kind in ("access", "id", "logout"):
        token = acme.mint(kind=kind)
        assert (header_of(token)["alg"], header_of(token)["kid"]) == (algorithm, kid)
        assert acme.keys.decode(token) == claims_of(token)


def test_rotation_to_an_algorithm_without_public_key_is_refused(acme: DevRealm) -> None:
    with pytest.raises(ValueError, match="HS256"):
        acme.rotate(algorithm="HS256")


def test_withdrawn_key_is_gone_and_a_fresh_one_signs(acme: DevRealm) -> None:
    withdrawn = header_of(acme.mint())["kid"]
    acme.withdraw(withdrawn)
    fresh = header_of(acme.mint())["kid"]
    assert fresh != withdrawn
    assert _signature_kids(acme) == [fresh]


def test_withdrawal_of_the_newest_key_lets_the_older_one_sign_again(acme: DevRealm) -> None:
    first = header_of(acme.mint())["kid"]
    acme.withdraw(acme.rotate())
    assert header_of(acme.mint())["kid"] == first


def test_withdrawal_of_an_unknown_key_is_a_key_error(acme: DevRealm) -> None:
    with pytest.raises(KeyError):
        acme.withdraw("nobody")


def test_refresh_and_hmac_tokens_have_a_kid_that_is_never_in_the_set(acme: DevRealm) -> None:
    listed = {key["kid"] for key in acme.keys.public_set()}
    assert header_of(acme.mint(kind="refresh"))["kid"] not in listed
    assert header_of(acme.mint(algorithm="HS256"))["kid"] not in listed


def test_two_realms_share_no_signature_key(acme: DevRealm, obs: DevRealm) -> None:
    assert not set(_signature_kids(acme)) & set(_signature_kids(obs))


def test_realms_given_the_same_keys_have_the_same_kid_and_different_issuers(acme: DevRealm) -> None:
    twin = DevRealm("globex", base_url=BASE_URL, keys=acme.keys)
    ours, theirs = acme.mint(), twin.mint()
    assert header_of(ours)["kid"] == header_of(theirs)["kid"]
    assert claims_of(ours)["iss"] != claims_of(theirs)["iss"]
    assert acme.keys.decode(theirs) is not None


def _signature_kids(realm: DevRealm) -> list[str]:
    return [key["kid"] for key in realm.keys.public_set() if key["use"] == "sig"]
