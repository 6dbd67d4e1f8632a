"""The text of a token before any key is asked for: its segments, its header, strict base64url and strict JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenants_api.tokens.credentials import Credential
from tests.support.tokens import DROP
from tests.support.verifying import Stage


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS512"},
        {"alg": "rs256"},
        {"alg": DROP},
        {"alg": None},
        {"alg": ["RS256"]},
        {"kid": DROP},
        {"kid": ""},
        {"kid": 7},
        {"kid": "../../dev/null"},
        {"kid": "k" * 257},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"b64": True},
        {"jku": "https://evil.example/jwks"},
        {"x5u": "https://evil.example/cert"},
        {"jwk": {"kty": "RSA"}},
        {"x5c": ["MII"]},
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": 7},
        {"cty": "JWT"},
        {"zip": "DEF"},
    ],
    ids=str,
)
async def test_token_with_a_wrong_header_is_refused(stage: Stage, header: dict[str, Any]) -> None:
    raw = stage.keys["acme"].token(stage.claims(), **header)
    assert (await stage.outcome(raw)).startswith("invalid_token:")


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
async def test_header_types_of_access_tokens_are_accepted(stage: Stage, kind: str) -> None:
    assert await stage.outcome(stage.keys["acme"].token(stage.claims(), typ=kind)) == "accepted:acme"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: "",
        lambda raw: ".",
        lambda raw: "..",
        lambda raw: raw + "=",
        lambda raw: raw + "==",
        lambda raw: raw + ".",
        lambda raw: raw + "\n",
        lambda raw: " " + raw,
        lambda raw: raw.replace(".", "..", 1),
        lambda raw: raw.rpartition(".")[0],
        lambda raw: raw.rpartition(".")[0] + ".",
        lambda raw: raw[:-2] + "!!",
        lambda raw: raw + "a" * 9000,
        lambda raw: raw[:-1] + "\xe9",
        lambda raw: "Bearer " + raw,
        lambda raw: json.dumps({"protected": raw.split(".")[0], "payload": "", "signature": ""}),
    ],
)
async def test_text_that_is_not_one_compact_jws_is_refused(stage: Stage, spoil: Any) -> None:
    assert (await stage.outcome(spoil(stage.token()))).startswith("invalid_token:")


async def test_every_other_spelling_of_the_last_character_is_refused(stage: Stage) -> None:
    raw = stage.token()
    assert await stage.outcome(raw) == "accepted:acme"
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for character in alphabet.replace(raw[-1], ""):
        assert (await stage.outcome(raw[:-1] + character)).startswith("invalid_token:")


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"[]",
        b'"x"',
        b"",
        b"{",
        b'{"iss": NaN}',
        b'{"a": Infinity}',
        b"\xef\xbb\xbf{}",
        '{"iss": "x"}'.encode("utf-16"),
        b'{"iss": "\xe9"}',
        b"[" * 100_000,
        b'{"a":' * 2000 + b"1" + b"}" * 2000,
        b'{"exp": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda payload: repr(payload[:20]),
)
async def test_payload_that_is_not_strict_json_is_refused(stage: Stage, payload: bytes) -> None:
    assert (await stage.outcome(stage.keys["acme"].token(payload))).startswith("invalid_token:")


@pytest.mark.parametrize("twice", [b'"sub": "mallory"', b'"\\u0073ub": "mallory"'])
async def test_duplicate_member_is_refused(stage: Stage, twice: bytes) -> None:
    payload = json.dumps(stage.claims()).encode()[:-1] + b", " + twice + b"}"
    assert await stage.outcome(stage.keys["acme"].token(payload)) == "invalid_token:not_strict_json"


async def test_lone_surrogate_is_refused(stage: Stage) -> None:
    assert await stage.outcome(stage.token(name="\ud800")) == "invalid_token:not_strict_json"


async def test_escaped_text_that_is_sound_is_accepted(stage: Stage) -> None:
    principal = await stage.verifier.verify(Credential.bearer(stage.token(name="Zoë 😀")))
    assert principal.full_name == "Zoë 😀"
