"""Two kinds of tokens that the product does not have, each in the few lines that a new kind takes.

`Opaque` is one that has to be looked up, as by introspection; `Bound` is one that is bound to its sender, as by DPoP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tenants_api.tokens.authenticator import Authenticated
from tenants_api.tokens.credentials import BEARER, Credential
from tenants_api.tokens.decode import refuse
from tenants_api.tokens.principal import Principal
from tenants_api.tokens.realms import TrustedRealm
from tenants_api.tokens.signed import SignedTokens

SECONDS = 30  # that an answer is used again


@dataclass
class Opaque:
    """Tokens without dots, known by name; the answer is the same for every path where `any_path` is set."""

    realm: TrustedRealm
    now: float
    any_path: bool = True
    asked: int = 0
    gate: asyncio.Event | None = None
    answers: dict[bytes, Principal] = field(default_factory=dict)
    schemes: tuple[str, ...] = (BEARER,)

    async def authenticate(self, token: bytes, *, tenant: str | None, max_wait: float) -> Authenticated | None:
        if b"." in token:
            return None
        self.asked += 1
        realm, epoch = self.realm, self.realm.epoch
        if realm.suspended or token not in self.answers:
            refuse("introspection", "inactive", expected="active")
        if self.gate is not None:
            await self.gate.wait()
        until = self.now + SECONDS
        return Authenticated(self.answers[token], realm, epoch, until, any_path=self.any_path, needs_keys=False)


@dataclass
class Bound:
    """Signed tokens with a `cnf` that come with the scheme `Proof`, and with the right words in the `DPoP` header."""

    signed: SignedTokens
    verified: int = 0
    schemes: tuple[str, ...] = ("Proof",)

    async def authenticate(self, token: bytes, *, tenant: str | None, max_wait: float) -> Authenticated:
        self.verified += 1
        found = await self.signed.authenticate(token, tenant=tenant, max_wait=max_wait)
        if found.confirmation is None:
            refuse("confirmation", "not_bound", expected="cnf")
        return found._replace(check=partial(check_proof, confirmation=found.confirmation))


def check_proof(credential: Credential, *, confirmation: Mapping[str, Any]) -> None:
    """The proof of this toy: the key, the method and the URL in one header."""
    expected = f"{confirmation['key']} {credential.method} {credential.url}".encode()
    if credential.proofs != (expected,):
        refuse("proof", "proof_missing", expected="a proof of this request", found=len(credential.proofs))
