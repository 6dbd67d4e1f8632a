"""What is fuzzed with bytes: each target takes any bytes and may end only as its contract says.

An exception that the contract does not name, or a broken invariant (AssertionError), is a finding. Knows no fuzzer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tenants_api.encoding.strict_json import parse_json
from tenants_api.errors import UriTooLong
from tenants_api.jwks.parse import ALGORITHMS, MAX_KEYS, BrokenKeySet, parse_key_set
from tenants_api.keycloak.realm import fetch_issuer, fetch_status
from tenants_api.outbound.client import RealmResponse
from tenants_api.outbound.errors import RealmFault
from tenants_api.schemas.base import check_depth, check_metadata, merge_patch
from tenants_api.tokens.credentials import credential_of
from tenants_api.tokens.decode import MAX_KID_CHARACTERS, MAX_TOKEN_BYTES, decode_unverified
from tenants_api.tokens.errors import InvalidToken, MalformedCredentials, MissingToken
from tenants_api.tokens.principal import SAMPLE_ROLES, RoleTable, default_rules
from tenants_api.tokens.realms import organizations
from tests.support.tokens import b64

Target = Callable[[bytes], None]
CORPUS = Path(__file__).parent / "corpus"
HEADER = b64(b'{"alg":"RS256","kid":"k"}')


def token_text(data: bytes) -> None:
    """Any text as a token."""
    raw = data.decode("latin-1")
    try:
        token = decode_unverified(data)
    except InvalidToken as error:
        assert error.refusal is not None
        assert raw not in (str(error), repr(error.refusal)) or len(raw) < 8
        return
    assert len(raw) <= MAX_TOKEN_BYTES
    assert raw.isascii()
    assert raw.count(".") == 2
    # One token, one text: what was read, spelled again, is the very same text.
    assert raw == f"{token.signing_input.decode()}.{b64(token.signature)}"
    assert token.issuer
    assert 0 < len(token.kid) <= MAX_KID_CHARACTERS
    json.dumps(token.claims).encode()


def token_header(data: bytes) -> None:
    """Any bytes as the JOSE header of a token."""
    token_text(f"{b64(data)}.{b64(b'{}')}.AAAA".encode())


def token_claims(data: bytes) -> None:
    """Any bytes as the claims of a token."""
    token_text(f"{HEADER}.{b64(data)}.AAAA".encode())


def key_set(data: bytes) -> None:
    """Any bytes as a JWKS."""
    try:
        keys = parse_key_set(data)
    except BrokenKeySet:
        return
    assert 0 < len(keys.keys) <= MAX_KEYS
    for kid, key in keys.keys.items():
        assert kid == key.kid
        assert key.algorithms
        assert key.algorithms <= ALGORITHMS
        assert not key.verifies(b"data", signature=bytes(64), algorithm=min(key.algorithms))
    stored = parse_key_set(keys.compact)
    assert {kid: key.materials for kid, key in stored.keys.items()} == {
        kid: key.materials for kid, key in keys.keys.items()
    }


class _Answering:
    """A `RealmClient` that got these bytes, whatever it was asked."""

    def __init__(self, body: bytes, *, status: int = 200) -> None:
        self._answer = RealmResponse(status, body, "application/json")

    async def get(self, url: str, *, ca_bundle: str | None = None) -> RealmResponse:
        return self._answer

    async def post_form(self, url: str, form: Any, *, ca_bundle: str | None = None) -> RealmResponse:
        return RealmResponse(403, self._answer.body, "application/json")


def discovery(data: bytes) -> None:
    """Any bytes as a discovery document, as the realm's public page and as its refusal."""
    client: Any = _Answering(data)
    for fetch in (fetch_issuer, fetch_status):
        try:
            asyncio.run(fetch(client, "https://id.example/realms/a"))
        except RealmFault as fault:
            assert len(fault.message) < 1000


def organization_claim(data: bytes) -> None:
    """Any JSON as the claims that choose tenant and roles."""
    try:
        claim = parse_json(data)
    except ValueError:
        return
    names = organizations(claim)
    assert len(names) == len(set(names))
    assert all(isinstance(name, str) for name in names)
    table = RoleTable(default_rules("api", names=SAMPLE_ROLES.names), names=SAMPLE_ROLES.names)
    for claims in (
        claim if isinstance(claim, dict) else {},
        {"resource_access": claim},
        {"groups": claim, "scope": claim},
    ):
        assert table.roles_of(claims) <= SAMPLE_ROLES.names


def merge(data: bytes) -> None:
    """Any JSON as a merge patch of metadata, twice: the second time changes nothing (RFC 7396)."""
    try:
        patch = check_depth(parse_json(data))
        if not isinstance(patch, dict):
            return
        merged = check_metadata(merge_patch({"a": 1, "b": {"c": [1]}}, patch=patch))
    except ValueError:
        return
    assert merge_patch(merged, patch=patch) == merged
    assert "null" not in json.dumps({name: None for name in merged if merged[name] is None})


def authorization(data: bytes) -> None:
    """Any bytes as the Authorization header, and as the query."""
    for scope in (
        {"headers": [(b"authorization", data)], "query_string": b""},
        {"headers": [], "query_string": data},
        {"headers": [(b"authorization", b"Bearer a")], "query_string": data},
        {"headers": [(b"authorization", b"Bearer " + data)], "query_string": b""},
    ):
        try:
            token = credential_of(scope["headers"], query=scope["query_string"]).token
        except (MissingToken, MalformedCredentials, UriTooLong):
            continue
        assert token
        assert not set(token) & set(b" ,\t\r\n")


TARGETS: dict[str, Target] = {
    "token-text": token_text,
    "token-header": token_header,
    "token-claims": token_claims,
    "key-set": key_set,
    "discovery": discovery,
    "organization": organization_claim,
    "merge-patch": merge,
    "authorization": authorization,
}


def seeds(name: str) -> list[bytes]:
    """The committed inputs of a target: good ones, and those that once broke something."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
