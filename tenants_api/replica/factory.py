"""Composes the verification of tokens of all registered realms, for the API and for standalone forward auth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from tenants_api.clocks import Clocks
from tenants_api.jwks.realm_keys import KeyPolicy, RealmKeys
from tenants_api.keycloak.source import RealmKeySource
from tenants_api.observability.metrics import Metrics
from tenants_api.outbound.client import RealmClient
from tenants_api.outbound.targets import Resolver, TargetPolicy, target_policy
from tenants_api.replica.health import realms_by_health_and_source, tenants_by_state_and_health
from tenants_api.replica.replica import RegistryReplica
from tenants_api.replica.reporter import Rejections, VerificationReporter
from tenants_api.replica.storage import RegistryStorage
from tenants_api.replica.traffic import Traffic
from tenants_api.settings import Settings
from tenants_api.tokens.authenticator import Authenticator
from tenants_api.tokens.cache import VerifiedTokens
from tenants_api.tokens.claims import ClaimPolicy
from tenants_api.tokens.principal import RoleModel
from tenants_api.tokens.signed import SignedTokens
from tenants_api.tokens.verifier import TokenVerifier

log = structlog.get_logger("tenants_api.replica")


@dataclass(frozen=True, slots=True)
class Verification:
    """The verifier and its dependencies. The caller closes `replica` and `client`."""

    policy: TargetPolicy
    client: RealmClient
    source: RealmKeySource
    keys: KeyPolicy
    claims: ClaimPolicy
    replica: RegistryReplica
    verifier: TokenVerifier
    reporter: VerificationReporter


def compose_verification(
    settings: Settings,
    *,
    storage: RegistryStorage,
    roles: RoleModel,
    clocks: Clocks,
    metrics: Metrics,
    resolver: Resolver | None = None,
) -> Verification:
    """Compose them without I/O; `replica.load()` reads the registry."""
    policy = target_policy(
        insecure_http_hosts=settings.insecure_http_hosts,
        allowed_private_networks=settings.allowed_private_networks,
        allowed_ports=settings.allowed_realm_ports,
    )
    client = RealmClient(policy, resolver=resolver, total_timeout=settings.realm_timeout)
    source = RealmKeySource(client)
    keys = KeyPolicy(lifetime=settings.key_lifetime, stale_limit=settings.key_stale_limit)
    claims = ClaimPolicy(
        leeway=settings.leeway,
        max_lifetime=settings.max_token_lifetime,
        max_token_bytes=settings.max_token_bytes,
    )
    observe = observer(metrics)
    replica = RegistryReplica(
        storage,
        source=source,
        keys=keys,
        poll=settings.registry_poll,
        clocks=clocks,
        on_event=observe,
        listen=settings.direct_url if storage.is_postgresql else None,
    )
    signed = SignedTokens(
        lookup=replica, jwks_cache=replica.jwks_cache, roles=roles.names, policy=claims, clocks=clocks
    )
    others: tuple[Authenticator, ...] = ()  # further kinds of tokens, in their order
    reporter = VerificationReporter(
        metrics,
        rejections=Rejections(storage, clocks=clocks),
        traffic=Traffic(storage, replica=replica, roles=roles.names, clocks=clocks),
    )
    cache = VerifiedTokens(settings.verified_tokens, clocks=clocks) if settings.verified_tokens else None
    verifier = TokenVerifier(signed, others=others, cache=cache, reporter=reporter)
    watch(metrics, replica=replica, verifier=verifier)
    return Verification(policy, client, source, keys, claims, replica, verifier, reporter)


def observer(metrics: Metrics) -> Callable[[RealmKeys, str], None]:
    """A `KeySetEvent` that counts every fetch of keys and logs the failed ones."""

    def observe(realm_keys: RealmKeys, event: str) -> None:
        state = realm_keys.state
        if event == "not_asked":
            metrics.jwks_not_asked.inc()
            return
        metrics.jwks_fetched("success" if event == "fetched" else "failure", seconds=state.took)
        if event == "failed":
            log.warning(
                "keys_not_fetched", issuer=realm_keys.realm.issuer, reason=state.last_failure, failures=state.failures
            )

    return observe


def watch(metrics: Metrics, *, replica: RegistryReplica, verifier: TokenVerifier) -> None:
    """Register the gauges that are read at each scrape: of several workers the worst value, or the sum."""
    gauge = metrics.watch
    gauge(
        "registry_version", lambda: replica.version, across="livemin",
        about="Registry version that this process applied",
    )  # fmt: skip
    gauge(
        "registry_lag_seconds", lambda: replica.feed.lag, across="livemax",
        about="Seconds since the change feed last saw the database",
    )  # fmt: skip
    gauge(
        "registry_listening", lambda: replica.feed.state == "listening", across="livemin",
        about="1 while PostgreSQL notifies of changes, 0 while the change feed only polls",
    )  # fmt: skip
    gauge(
        "verified_tokens", lambda: verifier.cached_tokens, across="livesum",
        about="Tokens in the verified-token cache",
    )  # fmt: skip
    gauge("realms", lambda: replica.realm_count, across="livemax", about="Realms whose tokens are verified")
    gauge(
        "jwks_in_flight", replica.jwks_cache.in_flight, across="livesum", about="Fetches of key sets that are under way"
    )  # fmt: skip
    gauge(
        "jwks_oldest_age_seconds",
        replica.jwks_cache.oldest_age,
        across="livemax",
        about="Age of the oldest key set in use",
    )
    metrics.watch_each(
        "jwks_realms", lambda: realms_by_health_and_source(replica.jwks_cache),
        labels=("health", "source"), across="livemax",
        about="Realms that were used, by the health and the source of their keys",
    )  # fmt: skip
    metrics.watch_each(
        "tenants",
        lambda: tenants_by_state_and_health(
            replica.states, jwks_cache=replica.jwks_cache, realm_by_id=replica.realm_by_id
        ),
        labels=("state", "health"), across="livemax",
        about="Tenants, by state and by the worst health of the keys of their realms that were used",
    )  # fmt: skip
