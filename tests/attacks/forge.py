"""Makes tokens that no realm would issue: any header, any payload, any signature. Knows nothing of what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jwt.algorithms import get_default_algorithms

from tenants_api.devrealms.realm import DevRealm
from tests.support.tokens import DROP, b64, claims_for

Json = Mapping[str, Any] | bytes


@dataclass(frozen=True)
class Forge:
    """The owner of one realm, with its keys at hand. `globex` is another registered realm, `stranger` is not one."""

    acme: DevRealm
    globex: DevRealm
    stranger: DevRealm

    @property
    def now(self) -> int:
        return int(self.acme.clock())

    @cached_property
    def kid(self) -> str:
        return self.acme.keys.signing("RS256").kid

    def claims(self, **changes: Any) -> dict[str, Any]:
        return claims_for(self.acme.issuer, now=self.now, **changes)

    def header(self, **changes: Any) -> dict[str, Any]:
        members = {"alg": "RS256", "typ": "JWT", "kid": self.kid, **changes}
        return {name: value for name, value in members.items() if value is not DROP}

    def good(self, **claims: Any) -> str:
        """A token that is accepted, unless a claim is changed."""
        return self.token(self.header(), self.claims(**claims))

    def signed(self, header: Json, payload: Json, *, signer: DevRealm | None = None, algorithm: str = "RS256") -> str:
        """Sign what the token says, whatever that is."""
        text = f"{segment(header)}.{segment(payload)}"
        key = (signer or self.acme).keys.signing(algorithm).private
        return f"{text}.{b64(get_default_algorithms()[algorithm].sign(text.encode(), key))}"

    def token(self, header: Json, payload: Json, *, signature: bytes | None = None) -> str:
        """With the realm's own signature, or with these bytes in its place."""
        if signature is None:
            return self.signed(header, payload)
        return f"{segment(header)}.{segment(payload)}.{b64(signature)}"

    def headed(self, **changes: Any) -> str:
        """A good token but for its header."""
        return self.token(self.header(**changes), self.claims())

    def hmac(self, secret: bytes, *, algorithm: str = "HS256") -> str:
        """A good token but for its signature: HMAC with something public as the secret."""
        text = f"{segment(self.header(alg=algorithm))}.{segment(self.claims())}"
        hashing = get_default_algorithms()[algorithm]
        return f"{text}.{b64(hashing.sign(text.encode(), secret))}"

    def segments(self) -> tuple[str, str, str]:
        """Header, payload and signature of a good token."""
        header, payload, signature = self.good().split(".")
        return header, payload, signature


def segment(value: Json) -> str:
    return b64(value if isinstance(value, bytes) else json.dumps(value).encode())
