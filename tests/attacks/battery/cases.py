"""What a case of the battery is, and `Mint`, which makes tokens of the development realms in any shape.

A token is assembled from bytes here: no JOSE library would make most of these.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenants_api.devkit.realms import DevRealmServer
from tenants_api.devkit.realms.keys import DevKey
from tests.support.tokens import DROP, b64, claims_for, signature_of

REFUSED = (401, "invalid_token")
EXPIRED = (401, "token_expired")
MISSING = (401, "missing_token")
MALFORMED = (400, "invalid_request")
NOT_HTTP = (400, "")  # the server's parser answers, in plain text; no application sees the request
HUNG_UP = (0, "")  # a head over 32 KiB ends its connection
ACCEPTED = (200, "")

Make = Callable[["Mint"], str]
Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Hostile:
    """One token. `reason` is what the operator is told, `answer` what the server's caller is told."""

    row: str
    name: str
    make: Make
    reason: str
    answer: tuple[int, str] = REFUSED

    @property
    def code(self) -> str:
        """The public code that the verifier itself raises."""
        return self.answer[1] if self.answer[0] == 401 else REFUSED[1]


class Mint:
    """Tokens of the realms beside one application; without arguments each method makes a good one."""

    def __init__(self, server: DevRealmServer) -> None:
        self.server = server

    def issuer(self, realm: str = "acme") -> str:
        return self.server.realm(realm).issuer

    def key(self, realm: str = "acme", algorithm: str = "RS256") -> DevKey:
        """The key that the realm signs with."""
        return self.server.realm(realm).keys.signing(algorithm)

    def claims(self, realm: str = "acme", /, **changes: Any) -> dict[str, Any]:
        """A value of DROP leaves a claim out."""
        return claims_for(self.issuer(realm), now=time.time(), **changes)

    def payload(self, realm: str = "acme", /, **changes: Any) -> bytes:
        return json.dumps(self.claims(realm, **changes)).encode()

    def header(self, realm: str = "acme", algorithm: str = "RS256", /, **changes: Any) -> dict[str, Any]:
        members = {"alg": algorithm, "typ": "JWT", "kid": self.key(realm, algorithm).kid, **changes}
        return {name: value for name, value in members.items() if value is not DROP}

    def token(
        self,
        realm: str = "acme",
        *,
        header: dict[str, Any] | bytes | None = None,
        payload: bytes | None = None,
        claims: dict[str, Any] | None = None,
        algorithm: str = "RS256",
        sign: Sign | None = None,
    ) -> str:
        """Signed by the realm's key of this algorithm unless `sign` does it; `header`, `claims` change single members."""
        head = (
            header
            if isinstance(header, bytes)
            else json.dumps(self.header(realm, algorithm, **(header or {}))).encode()
        )
        body = self.payload(realm, **(claims or {})) if payload is None else payload
        return self.compact(f"{b64(head)}.{b64(body)}", sign=sign or self.signer(realm, algorithm))

    def compact(self, signing_input: str, *, sign: Sign) -> str:
        return f"{signing_input}.{b64(sign(signing_input.encode()))}"

    def signer(self, realm: str = "acme", algorithm: str = "RS256") -> Sign:
        key = self.key(realm, algorithm)
        return lambda data: signature_of(data, algorithm=algorithm, private=key.private)

    def joined(self, realm: str = "acme") -> tuple[str, str, str]:
        """The three segments of a good token."""
        header, payload, signature = self.token(realm).split(".")
        return header, payload, signature


def with_header(row: str, name: str, header: dict[str, Any], reason: str) -> Hostile:
    """A good token of acme, but for these members of its header."""
    return Hostile(row, name, lambda mint: mint.token(header=header), reason)
