"""Mints assertions and keeps their keys: `Assertions` is the one object that the edges use.

An assertion (RFC 7519, in the explicit typing of RFC 8725 section 3.11) lives for 60 s and says tenant, subject, mapped
roles and the realm that the caller came from. It holds no `act` and nothing else of the caller's own token.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import jwt
import structlog

from tenants_api.assertion.keys import ALGORITHM, LOOK, SigningKey, from_sealed, next_key, published, signing, to_sealed
from tenants_api.assertion.sealing import Seal, Unreadable
from tenants_api.assertion.storage import KeyStorage, SealedKey
from tenants_api.database.errors import StorageError, cause_of
from tenants_api.ids import new_id
from tenants_api.verification.clocks import Clocks
from tenants_api.verification.principal import Principal

TYPE = "tenant-assertion+jwt"
LIFETIME = 60  # seconds
log = structlog.get_logger("tenants_api.assertion")


@dataclass(frozen=True, slots=True)
class AssertionPolicy:
    """Who we are (`issuer`), for whom we mint (`audiences`, the first by default), and times in seconds.

    `leeway` is the one that accepted the caller's token: an assertion must not outlive that token by more.
    """

    issuer: str
    audiences: tuple[str, ...]
    key_lifetime: int = 86_400
    leeway: int = 30


class Assertions:
    """Mints with the stored keys; all replicas on one database share them."""

    def __init__(self, storage: KeyStorage, *, policy: AssertionPolicy, seal: Seal, clocks: Clocks) -> None:
        self._storage, self._policy, self._seal, self._clocks = storage, policy, seal, clocks
        self._keys: list[SigningKey] = []

    def mint(self, principal: Principal, *, audience: str | None = None) -> str:
        """A signed assertion about the caller: no I/O, about 0.1 ms.

        Raises:
            ValueError: the audience is not one of the policy's, or the caller's token has expired meanwhile.
            LookupError: no key was loaded (`look` or `renew`).
        """
        audience = self._policy.audiences[0] if audience is None else audience
        if audience not in self._policy.audiences:
            raise ValueError(f"no assertion is minted for {audience!r}")
        now = self._clocks.wall()
        key = signing(self._keys, now=now)
        if key is None:
            raise LookupError("there is no signing key")
        claims = self._claims(principal, audience=audience, now=int(now))
        return jwt.encode(claims, key.private, algorithm=ALGORITHM, headers={"typ": TYPE, "kid": key.kid})

    def jwks(self) -> dict[str, Any]:
        """The key set (RFC 7517 section 5) of `/.well-known/jwks.json`."""
        return {"keys": [key.jwk for key in published(self._keys, now=self._clocks.wall())]}

    async def look(self) -> None:
        """Read the stored keys.

        Raises:
            Unreadable: one was sealed under another secret.
            StorageError: the database cannot be read.
        """
        rows = await self._storage.assertion_keys()
        self._keys = [
            from_sealed(row.sealed, sequence=row.sequence, signs_from=row.signs_from, seal=self._seal) for row in rows
        ]

    async def renew(self) -> None:
        """Read the stored keys, and make the next one when it is time. Raises as `look`."""
        await self.look()
        now = self._clocks.wall()
        made = next_key(self._keys, now=now, lifetime=self._policy.key_lifetime)
        if made is None:
            return
        living = {key.sequence for key in published(self._keys, now=now)}
        outdated = [key.sequence for key in self._keys if key.sequence not in living]
        row = SealedKey(made.sequence, made.signs_from, to_sealed(made, seal=self._seal))
        if await self._storage.add_assertion_key(row, outdated=outdated):
            log.info("assertion_key_made", kid=made.kid, signs_from=made.signs_from)
        await self.look()

    async def run(self) -> None:
        """Renew for ever. What cannot be read now is read later; until then the known keys sign on."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.renew()
            except Unreadable:
                log.error("assertion_keys_unreadable", cure="give all replicas the same TENANTS_ASSERTION_SECRET")
            except (StorageError, TimeoutError) as error:
                log.warning("assertion_keys_not_read", error=cause_of(error))
            except Exception as error:
                # Nobody waits for this loop: if a mistake of ours ended it, this replica would sign with a key that
                # the others no longer publish. It goes on instead, and says what happened.
                log.exception("assertion_keys_not_renewed", error=type(error).__name__)

    def _claims(self, principal: Principal, *, audience: str, now: int) -> dict[str, Any]:
        expires = min(now + LIFETIME, principal.expires_at + self._policy.leeway)
        if expires <= now:
            raise ValueError("the caller's token has expired")
        return {
            "iss": self._policy.issuer,
            "aud": audience,
            "sub": principal.subject,
            "tenant_id": str(principal.tenant.id),
            "tenant_slug": principal.tenant.slug,
            "roles": sorted(principal.roles),
            "original_issuer": principal.issuer,
            "iat": now,
            "exp": expires,
            "jti": str(new_id()),
        }
