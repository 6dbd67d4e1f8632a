"""A sample token given to an onboarding check: read with the verifier's own eyes, then forgotten."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from tenants_api.observability.logging import redacted
from tenants_api.registry.values import RealmDraft
from tenants_api.trust.rows import trusted_realm
from tenants_api.verification.claims import ClaimPolicy
from tenants_api.verification.clocks import Clocks
from tenants_api.verification.credentials import Credential
from tenants_api.verification.errors import Refusal, TokenError
from tenants_api.verification.key_state import KeyPolicy
from tenants_api.verification.principal import TenantRef
from tenants_api.verification.realms import TrustedRealm
from tenants_api.verification.rings import KeyRings
from tenants_api.verification.signed import SignedTokens
from tenants_api.verification.snapshot import Snapshot
from tenants_api.verification.sources import Fetched, SourceFailed, UsableKeys
from tenants_api.verification.token import decode_unverified

MAX_CLAIM = 255  # characters of a claim in a message
_NOBODY = TenantRef(uuid.UUID(int=0), "", "")


class _NoSource:
    """The keys are at hand already; nothing is fetched for a sample."""

    async def fetch(self, realm: TrustedRealm) -> Fetched:
        raise SourceFailed("NotFetched", message="a sample token is checked with the keys that the check has fetched")


class SampleToken:
    """One token, never stored and never logged."""

    def __init__(self, raw: str, *, roles: Iterable[str], policy: ClaimPolicy, clocks: Clocks) -> None:
        self._token, self._roles, self._policy, self._clocks = (
            Credential.bearer(raw).token,
            frozenset(roles),
            policy,
            clocks,
        )

    def audience(self) -> tuple[str, ...]:
        """What `aud` says, unverified; empty when the text is no token."""
        claim = self._claims().get("aud")
        listed = [claim] if isinstance(claim, str) else claim
        return tuple(one for one in listed if isinstance(one, str)) if isinstance(listed, list) else ()

    def issuer(self) -> str | None:
        """What `iss` says, unverified."""
        claim = self._claims().get("iss")
        return claim if isinstance(claim, str) else None

    def authorized_party(self) -> str:
        """What `azp` says, unverified."""
        claim = self._claims().get("azp")
        return redacted(claim, limit=MAX_CLAIM) if isinstance(claim, str) else "(none)"

    async def refusal(self, draft: RealmDraft, *, fetched: UsableKeys) -> Refusal | None:
        """Why the verifier would refuse the token for this realm; None when it would accept it."""
        snapshot = Snapshot()
        snapshot.put(trusted_realm(draft, realm_id=uuid.UUID(int=0), tenant=_NOBODY))
        rings = KeyRings(
            source=_NoSource(),
            policy=KeyPolicy(),
            clocks=self._clocks,
            on_new=lambda ring: ring.adopt(fetched, age=0.0),
            on_event=lambda ring, event: None,
        )
        signed = SignedTokens(lookup=snapshot, rings=rings, roles=self._roles, policy=self._policy, clocks=self._clocks)
        try:
            await signed.authenticate(self._token)
        except TokenError as error:
            return error.refusal or Refusal("format", error.code)
        return None

    def _claims(self) -> dict[str, Any]:
        try:
            return decode_unverified(self._token, max_bytes=self._policy.max_token_bytes).claims
        except TokenError:
            return {}
