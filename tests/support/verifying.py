"""A verifier with two or more realms in memory and no network: the stage of the verifier's tests."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from tenants_api.clocks import Clocks
from tenants_api.jwks.cache import JwksCache
from tenants_api.jwks.realm_keys import Fetched, KeyOwner, KeyPolicy, SourceFailed
from tenants_api.tokens.cache import VerifiedTokens
from tenants_api.tokens.claims import ClaimPolicy
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.errors import TokenError
from tenants_api.tokens.principal import TenantRef
from tenants_api.tokens.realms import Snapshot, TrustedRealm
from tenants_api.tokens.signed import SignedTokens
from tenants_api.tokens.verifier import TokenVerifier
from tests.support.tokens import Clock, FakeRealm, Key, claims_for, jwks

ROLES = ("admin", "editor", "viewer")


class FakeSource:
    """A `KeySource` that answers from a `FakeRealm`."""

    def __init__(self, world: FakeRealm) -> None:
        self._world = world

    async def fetch(self, realm: KeyOwner) -> Fetched:
        world, issuer = self._world, realm.issuer
        world.fetches[issuer] = world.fetches.get(issuer, 0) + 1
        answer = world.answers[issuer]  # what the realm had when it was asked, however long the answer is under way
        if (gate := world.gates.get(issuer)) is not None:
            await gate.wait()
        if (reason := world.failures.get(issuer)) is not None:
            raise SourceFailed(reason)
        return Fetched(answer, world.not_before.get(issuer, 0), issuer not in world.disabled)


@dataclass
class Stage:
    """Realms `acme` and `globex`, each with its own key. `clocks` are those of `clock`, unless real ones are wanted."""

    cached: bool = False
    policy: KeyPolicy = field(default_factory=KeyPolicy)
    clock: Clock = field(default_factory=Clock)
    world: FakeRealm = field(default_factory=FakeRealm)
    clocks: Clocks | None = None

    def __post_init__(self) -> None:
        self.snapshot = Snapshot()
        self.keys: dict[str, Key] = {}
        clocks = self.clocks or Clocks(wall=lambda: self.clock.now, monotonic=lambda: self.clock.steady)
        self.jwks_cache = JwksCache(
            source=FakeSource(self.world),
            policy=self.policy,
            clocks=clocks,
            on_new=lambda realm_keys: None,
            on_event=lambda realm_keys, event: None,
        )
        self.signed = self.signed_tokens(ClaimPolicy(), clocks=clocks)
        cache = VerifiedTokens(1000, clocks=clocks) if self.cached else None
        self.verifier = TokenVerifier(self.signed, cache=cache)
        for name in ("acme", "globex"):
            self.add(name)

    def signed_tokens(self, policy: ClaimPolicy, *, clocks: Clocks) -> SignedTokens:
        """Those of its realms, as this policy wants them."""
        return SignedTokens(lookup=self.snapshot, jwks_cache=self.jwks_cache, roles=ROLES, policy=policy, clocks=clocks)

    def issuer(self, name: str) -> str:
        return f"https://id.example/realms/{name}"

    def add(self, name: str, **changes: Any) -> TrustedRealm:
        """Register a realm with a key of its own."""
        realm = TrustedRealm(
            id=uuid.uuid5(uuid.NAMESPACE_DNS, name),
            tenant=TenantRef(uuid.uuid5(uuid.NAMESPACE_URL, name), name, name.title()),
            issuer=self.issuer(name),
            realm_url=self.issuer(name),
            client_id="tenants-api",
            audiences=frozenset({"tenants-api"}),
        )
        realm = replace(realm, **changes)
        self.keys.setdefault(name, Key(name))
        self.world.answers.setdefault(realm.issuer, jwks(self.keys[name]))
        self.snapshot.put(realm)
        return realm

    def claims(self, realm: str = "acme", /, **changes: Any) -> dict[str, Any]:
        return claims_for(self.issuer(realm), now=self.clock.now, **changes)

    def token(self, realm: str = "acme", /, **changes: Any) -> str:
        return self.keys[realm].token(self.claims(realm, **changes))

    async def outcome(self, raw: str, *, tenant: str | None = None) -> str:
        """`accepted:<tenant>`, or `<public code>:<reason for the operator>`."""
        try:
            principal = await self.verifier.verify(Credential.bearer(raw), tenant=tenant)
        except TokenError as error:
            return f"{error.code}:{error.refusal.reason if error.refusal else ''}"
        return f"accepted:{principal.tenant.slug}"


async def settle() -> None:
    """Let background fetches run."""
    for _ in range(20):
        await asyncio.sleep(0)
