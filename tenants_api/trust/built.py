"""Builds what verifies the tokens of all registered realms, for the whole API and for forward auth alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from tenants_api.db import Database
from tenants_api.keycloak.fetch import RealmClient
from tenants_api.keycloak.targets import TargetPolicy, target_policy
from tenants_api.observability.metrics import Metrics
from tenants_api.settings import Settings
from tenants_api.trust.source import RealmKeySource
from tenants_api.trust.store import Trust
from tenants_api.verification.cache import VerifiedTokens
from tenants_api.verification.claims import ClaimPolicy
from tenants_api.verification.clocks import Clocks
from tenants_api.verification.keys import KeyPolicy, KeyRing
from tenants_api.verification.roles import RoleModel
from tenants_api.verification.verifier import TokenVerifier

log = structlog.get_logger("tenants_api.trust")


@dataclass(frozen=True, slots=True)
class Verifying:
    """`verifier` and what it stands on. Whoever built it closes `trust` and `client`."""

    policy: TargetPolicy
    client: RealmClient
    source: RealmKeySource
    keys: KeyPolicy
    claims: ClaimPolicy
    trust: Trust
    verifier: TokenVerifier


def build_verifying(
    settings: Settings, *, database: Database, roles: RoleModel, clocks: Clocks, metrics: Metrics
) -> Verifying:
    """Nothing is opened, read or fetched yet; `trust.load()` reads the registry."""
    policy = target_policy(
        insecure_http_hosts=settings.insecure_http_hosts,
        allowed_private_networks=settings.allowed_private_networks,
        allowed_ports=settings.allowed_realm_ports,
    )
    client = RealmClient(policy, total_timeout=settings.realm_timeout)
    source = RealmKeySource(client)
    keys = KeyPolicy(lifetime=settings.key_lifetime, stale_limit=settings.key_stale_limit)
    claims = ClaimPolicy(leeway=settings.leeway, max_lifetime=settings.max_token_lifetime)
    observe = observer(metrics)
    trust = Trust(database, source=source, keys=keys, poll=settings.registry_poll, clocks=clocks, on_event=observe)
    cache = VerifiedTokens(settings.verified_tokens) if settings.verified_tokens else None
    verifier = TokenVerifier(
        lookup=trust, rings=trust.rings, roles=roles.names, policy=claims, clocks=clocks, cache=cache
    )
    return Verifying(policy, client, source, keys, claims, trust, verifier)


def observer(metrics: Metrics) -> Callable[[KeyRing, str], None]:
    """Counts every fetch of keys and logs the failed ones."""

    def observe(ring: KeyRing, event: str) -> None:
        state = ring.state
        metrics.jwks_fetched("success" if event == "fetched" else "failure")
        if event == "failed":
            log.warning(
                "keys_not_fetched", issuer=ring.realm.issuer, reason=state.last_failure, failures=state.failures
            )

    return observe
