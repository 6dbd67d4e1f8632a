"""Everything is built here, once, for the API, the CLI and the tests alike."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tenants_api.assertion import AssertionPolicy, Assertions, Seal, Unreadable
from tenants_api.db import Database
from tenants_api.keycloak.fetch import RealmClient
from tenants_api.keycloak.targets import TargetPolicy, target_policy
from tenants_api.migrating import is_migrated
from tenants_api.observability.metrics import Metrics
from tenants_api.onboarding import Onboarding, Reconciler
from tenants_api.onboarding.sample import SampleToken
from tenants_api.row_security import role_faults
from tenants_api.settings import Settings
from tenants_api.trust import RealmKeySource, Rejections, Trust
from tenants_api.trust.background import supervised
from tenants_api.verification.cache import VerifiedTokens
from tenants_api.verification.claims import ClaimPolicy
from tenants_api.verification.clocks import Clocks
from tenants_api.verification.key_state import KeyPolicy
from tenants_api.verification.keys import KeyRing
from tenants_api.verification.principal import TenantRef
from tenants_api.verification.realms import TrustedRealm
from tenants_api.verification.rings import KeyRings
from tenants_api.verification.roles import SAMPLE_ROLES, RoleModel, RoleRule
from tenants_api.verification.snapshot import Snapshot
from tenants_api.verification.verifier import TokenVerifier

PLATFORM_ROLE = "platform-admin"
_PLATFORM_ID = uuid.uuid5(uuid.NAMESPACE_URL, "tenants-api/platform-realm")
log = structlog.get_logger("tenants_api.wiring")


class NotReady(Exception):
    """The database is absent or not migrated, or its role may not serve. The message is one line with the cure."""


@dataclass(slots=True)
class Services:
    """What the edges use. `platform` verifies tokens of the platform realm and of no other."""

    settings: Settings
    database: Database
    trust: Trust
    verifier: TokenVerifier
    platform: TokenVerifier | None
    realms: RealmClient
    policy: TargetPolicy
    onboarding: Onboarding
    roles: RoleModel
    clocks: Clocks
    metrics: Metrics
    reconciler: Reconciler | None
    rejections: Rejections
    assertion: Assertions | None = None


@asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    roles: RoleModel = SAMPLE_ROLES,
    background: bool = True,
    clocks: Clocks | None = None,
) -> AsyncIterator[Services]:
    """Build everything, load the registry, and follow its changes while the block runs.

    No realm is asked for anything: the process starts with every realm unreachable.

    Raises:
        NotReady: the database cannot be reached, is not migrated, or its role passes row-level security in production.
    """
    database = Database(
        settings.database_url,
        pool_size=settings.database_pool_size,
        statement_timeout=settings.database_statement_timeout,
    )
    services = _build(settings, database=database, roles=roles, clocks=clocks or Clocks())
    try:
        await _load(services)
        followers = await _follow(services) if background else []
        try:
            yield services
        finally:
            await _stop(followers)
            await services.rejections.flush()
            await services.trust.aclose()
    finally:
        await services.realms.aclose()
        await database.aclose()


def _build(settings: Settings, *, database: Database, roles: RoleModel, clocks: Clocks) -> Services:
    policy = target_policy(
        insecure_http_hosts=settings.insecure_http_hosts,
        allowed_private_networks=settings.allowed_private_networks,
        allowed_ports=settings.allowed_realm_ports,
    )
    metrics = Metrics()
    client = RealmClient(policy, total_timeout=settings.realm_timeout)
    source = RealmKeySource(client)
    keys = KeyPolicy(lifetime=settings.key_lifetime, stale_limit=settings.key_stale_limit)
    claims = ClaimPolicy(leeway=settings.leeway, max_lifetime=settings.max_token_lifetime)
    observe = _observer(metrics)
    trust = Trust(
        database,
        source=source,
        keys=keys,
        poll=settings.registry_poll,
        clocks=clocks,
        on_event=observe,
        listen=settings.direct_url if database.is_postgresql else None,
    )
    cache = VerifiedTokens(settings.verified_tokens) if settings.verified_tokens else None
    verifier = TokenVerifier(
        lookup=trust, rings=trust.rings, roles=roles.names, policy=claims, clocks=clocks, cache=cache
    )
    rings = KeyRings(source=source, policy=keys, clocks=clocks, on_new=lambda ring: None, on_event=observe)
    onboarding = Onboarding(
        database,
        trust=trust,
        client=client,
        policy=policy,
        sample=lambda raw: SampleToken(raw, roles=roles.names, policy=claims, clocks=clocks),
        reserved_issuers=(settings.platform_issuer,) if settings.platform_issuer else (),
    )
    reconciler = Reconciler(
        database,
        trust=trust,
        client=client,
        policy=policy,
        interval=settings.reconcile_interval,
        stale_limit=settings.key_stale_limit,
    )
    services = Services(
        settings=settings,
        database=database,
        trust=trust,
        verifier=verifier,
        platform=_platform(settings, rings=rings, policy=claims, clocks=clocks),
        realms=client,
        policy=policy,
        onboarding=onboarding,
        roles=roles,
        clocks=clocks,
        metrics=metrics,
        reconciler=reconciler if settings.reconcile_interval else None,
        rejections=Rejections(database, clocks=clocks),
        assertion=_assertion(settings, database=database, clocks=clocks),
    )
    _watch(services)
    return services


def _assertion(settings: Settings, *, database: Database, clocks: Clocks) -> Assertions | None:
    issuer = settings.assertion_issuer or settings.public_url
    if settings.assertion_secret is None or issuer is None:
        return None
    secrets = [one.strip() for one in settings.assertion_secret.get_secret_value().split(",")]
    policy = AssertionPolicy(
        issuer, settings.assertion_audiences, key_lifetime=settings.assertion_key_lifetime, leeway=settings.leeway
    )
    return Assertions(database, policy=policy, seal=Seal(secrets), clocks=clocks)


def _platform(settings: Settings, *, rings: KeyRings, policy: ClaimPolicy, clocks: Clocks) -> TokenVerifier | None:
    if settings.platform_issuer is None or settings.platform_client_id is None:
        return None
    client_id = settings.platform_client_id
    realm = TrustedRealm(
        id=_PLATFORM_ID,
        tenant=TenantRef(_PLATFORM_ID, "platform", "Platform"),
        issuer=settings.platform_issuer,
        realm_url=settings.platform_realm_url or settings.platform_issuer,
        client_id=client_id,
        audiences=frozenset({client_id}),
        rules=(
            RoleRule("realm", PLATFORM_ROLE, PLATFORM_ROLE),
            RoleRule(f"client:{client_id}", PLATFORM_ROLE, PLATFORM_ROLE),
        ),
    )
    lookup = Snapshot()
    lookup.put(realm)
    return TokenVerifier(lookup=lookup, rings=rings, roles=(PLATFORM_ROLE,), policy=policy, clocks=clocks)


def _watch(services: Services) -> None:
    """What is read at each scrape."""
    trust, watch = services.trust, services.metrics.watch
    watch("registry_version", lambda: trust.version, about="Registry version that this process applied")
    watch("registry_lag_seconds", lambda: trust.feed.lag, about="Seconds since the change feed last saw the database")
    watch(
        "registry_listening", lambda: trust.feed.state == "listening",
        about="1 while PostgreSQL notifies of changes, 0 while they are polled for alone",
    )  # fmt: skip
    watch("verified_tokens", lambda: services.verifier.cached_tokens, about="Tokens in the verified-token cache")
    watch("realms", lambda: trust.realm_count, about="Realms whose tokens are read")
    watch("jwks_in_flight", trust.rings.in_flight, about="Fetches of key sets that are under way")
    watch("jwks_oldest_age_seconds", trust.rings.oldest_age, about="Age of the oldest key set in use")
    for health in trust.keys_by_health():
        watch(
            "jwks_realms", lambda health=health: trust.keys_by_health()[health],  # type: ignore[misc]
            about="Realms that were used, by the health of their keys", health=health,
        )  # fmt: skip


def _observer(metrics: Metrics) -> Any:
    def observe(ring: KeyRing, event: str) -> None:
        state = ring.state
        if event == "not_asked":
            metrics.jwks_not_asked.inc()
            return
        metrics.jwks_fetched("success" if event == "fetched" else "failure", seconds=state.took)
        if event == "failed":
            log.warning(
                "keys_not_fetched", issuer=ring.realm.issuer, reason=state.last_failure, failures=state.failures
            )

    return observe


async def _load(services: Services) -> None:
    try:
        if not await is_migrated(services.database):
            raise NotReady("the database is not at the newest schema; run `tenants-api db upgrade`")
        await _refuse_privileged_role(services)
        await services.trust.load()
        if services.assertion is not None:
            await services.assertion.look()
    except Unreadable as error:
        raise NotReady(
            "the stored assertion keys were sealed under another secret; give it as well: "
            "TENANTS_ASSERTION_SECRET=new,old"
        ) from error
    except (SQLAlchemyError, OSError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        first = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        raise NotReady(
            f"the database cannot be used ({first}); check TENANTS_DATABASE_URL and run `tenants-api db upgrade`"
        ) from error


async def _refuse_privileged_role(services: Services) -> None:
    """In production one row of another tenant is one too many: a role that policies do not bind does not serve."""
    if services.settings.environment != "production":
        return
    faults = await role_faults(services.database)
    if faults:
        reasons, cures = " and ".join(one.fault for one in faults), "; ".join(one.cure for one in faults)
        raise NotReady(
            f"{reasons}, so row-level security does not bind this API; use another role (`tenants-api db grant` makes"
            f" one), or run as a superuser: {cures}"
        )


async def _follow(services: Services) -> list[asyncio.Task[None]]:
    """What runs beside the requests."""
    loops = {"registry changes": services.trust.feed.run, "rejections": services.rejections.run}
    if services.reconciler is not None:
        loops["realm checks"] = services.reconciler.run
    if services.assertion is not None:
        await services.assertion.renew()  # a first start makes the first key before anybody wants an assertion
        loops["assertion keys"] = services.assertion.run
    return [
        asyncio.create_task(supervised(name, run, on_death=services.metrics.restarted), name=name)
        for name, run in loops.items()
    ]


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
