"""Composes all services, for the API, the CLI and the tests."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import structlog

from tenants_api.assertions.minting import Assertions, build_assertions
from tenants_api.assertions.storage import SessionKeys
from tenants_api.clocks import Clocks
from tenants_api.control.checks import SampleToken
from tenants_api.control.commands import Commands
from tenants_api.control.drafts import Vocabulary
from tenants_api.control.realm_checks import RealmChecks
from tenants_api.control.reconciler import Reconciler
from tenants_api.control.runner import Runner
from tenants_api.database.engine import Database
from tenants_api.jwks.cache import JwksCache
from tenants_api.observability.metrics import Metrics
from tenants_api.observability.tasks import start_loops, stop_loops
from tenants_api.outbound.client import RealmClient
from tenants_api.outbound.targets import Resolver, TargetPolicy
from tenants_api.outbound.urls import lower_host
from tenants_api.readiness import NotReady, load_registry, open_database, why_not_shared, workers_of_uvicorn
from tenants_api.replica.factory import compose_verification, observer
from tenants_api.replica.replica import RegistryReplica
from tenants_api.replica.reporter import VerificationReporter
from tenants_api.replica.sql_storage import SessionStorage
from tenants_api.replica.storage import RegistryStorage
from tenants_api.role_rules import RoleRule
from tenants_api.settings import Settings
from tenants_api.tokens.claims import ClaimPolicy
from tenants_api.tokens.principal import SAMPLE_ROLES, RoleModel, TenantRef, roles_of_process
from tenants_api.tokens.realms import Snapshot, TrustedRealm
from tenants_api.tokens.signed import SignedTokens
from tenants_api.tokens.verifier import Reporter, TokenVerifier

PLATFORM_ROLE = "platform-admin"
_WITHOUT = "the command line, GitOps and standalone forward auth"
_PLATFORM_ID = uuid.uuid5(uuid.NAMESPACE_URL, "tenants-api/platform-realm")
log = structlog.get_logger("tenants_api.composition")


@dataclass(frozen=True, slots=True)
class Services:
    """What the edges use. `platform` verifies tokens of the platform realm and of no other.

    Requests use the connections of `database`; the replica uses those of `follower`.
    """

    settings: Settings
    database: Database
    follower: Database
    replica: RegistryReplica
    verifier: TokenVerifier
    platform: TokenVerifier | None
    realms: RealmClient
    policy: TargetPolicy
    commands: Commands
    roles: RoleModel
    clocks: Clocks
    metrics: Metrics
    reconciler: Reconciler | None
    reporter: VerificationReporter
    assertion: Assertions | None = None


# A database URL in place of that of the settings, while a test runs the lifespan of an application without a registry.
REGISTRY_IN_TESTS: ContextVar[str | None] = ContextVar("tenants_api.registry", default=None)


@asynccontextmanager
async def open_services(
    settings: Settings,
    *,
    roles: RoleModel | None = None,
    background: bool = True,
    load: bool = True,
    clocks: Clocks | None = None,
    resolver: Resolver | None = None,
    storage: Callable[[Database], RegistryStorage] = SessionStorage,
) -> AsyncIterator[Services]:
    """Compose all services, load the registry, and follow its changes while the block runs.

    Fetches from no realm: the process starts with every realm unreachable. With `load` False the registry is not
    loaded, and no token can be verified: loading a hundred thousand tenants takes seconds. `roles` are those of the
    application's code; None means those of the settings.

    Raises:
        NotReady: the database cannot be reached, is not migrated, or its role passes row-level security in production;
            or uvicorn runs several workers on SQLite in production.
        ValueError: the settings have other roles than `roles`.
    """
    if (reason := why_not_shared(settings, workers=workers_of_uvicorn())) is not None:
        raise NotReady(reason)
    chosen = roles_of_process(roles, in_settings=settings.roles)
    if (url := REGISTRY_IN_TESTS.get()) is not None:
        settings = settings.model_copy(update={"database_url": url, "database_direct_url": None})
    if background and settings.roles is None and chosen.as_lists() != SAMPLE_ROLES.as_lists():
        log.warning("roles_not_in_settings", hint=f"TENANTS_ROLES={json.dumps(chosen.as_lists())}", unknown_to=_WITHOUT)
    database = open_database(settings, pool_size=settings.database_pool_size)
    follower = _follower(settings, database=database)
    services = _compose(
        settings,
        database=database,
        follower=follower,
        storage=storage(follower),
        roles=chosen,
        clocks=clocks or Clocks(),
        resolver=resolver,
    )
    try:
        await load_registry(
            services.replica,
            database=database,
            assertion=services.assertion,
            environment=settings.environment,
            tenants=load,
        )
        followers = await _follow(services) if background else []
        try:
            yield services
        finally:
            await stop_loops(followers)
            await services.reporter.flush()
            await services.replica.aclose()
    finally:
        await services.realms.aclose()
        await follower.aclose()
        await database.aclose()


def _follower(settings: Settings, *, database: Database) -> Database:
    """The replica's connections, one to read and one to write; a database in memory has only one connection.

    With connections of its own the replica reads a suspension also while requests use all of theirs.
    """
    shared = not database.is_postgresql and database.file is None
    return database if shared else open_database(settings, pool_size=2)


def _compose(
    settings: Settings,
    *,
    database: Database,
    follower: Database,
    storage: RegistryStorage,
    roles: RoleModel,
    clocks: Clocks,
    resolver: Resolver | None,
) -> Services:
    metrics = Metrics()
    parts = compose_verification(
        settings, storage=storage, roles=roles, clocks=clocks, metrics=metrics, resolver=resolver
    )
    policy, client, source, replica, claims = parts.policy, parts.client, parts.source, parts.replica, parts.claims
    verifier = parts.verifier
    jwks_cache = JwksCache(
        source=source, policy=parts.keys, clocks=clocks, on_new=lambda realm_keys: None, on_event=observer(metrics)
    )
    runner = Runner(database, replica)
    checks = RealmChecks(
        runner,
        client=client,
        policy=policy,
        clocks=clocks,
        sample=lambda raw: SampleToken(raw, roles=roles.names, policy=claims, clocks=clocks),
        reserved=(settings.platform_issuer,) if settings.platform_issuer else (),
    )
    commands = Commands(runner, checks=checks, vocabulary=Vocabulary(policy, roles.names), clocks=clocks)
    reconciler = Reconciler(
        database,
        replica=replica,
        client=client,
        policy=policy,
        clocks=clocks,
        interval=settings.reconcile_interval,
        stale_limit=settings.key_stale_limit,
    )
    return Services(
        settings=settings,
        database=database,
        follower=follower,
        replica=replica,
        verifier=verifier,
        platform=_platform(settings, jwks_cache=jwks_cache, policy=claims, clocks=clocks, reporter=parts.reporter),
        realms=client,
        policy=policy,
        commands=commands,
        roles=roles,
        clocks=clocks,
        metrics=metrics,
        reconciler=reconciler if settings.reconcile_interval else None,
        reporter=parts.reporter,
        assertion=build_assertions(settings, storage=SessionKeys(database), clocks=clocks),
    )


def _platform(
    settings: Settings, *, jwks_cache: JwksCache, policy: ClaimPolicy, clocks: Clocks, reporter: Reporter
) -> TokenVerifier | None:
    if settings.platform_issuer is None or settings.platform_client_id is None:
        return None
    client_id = settings.platform_client_id
    realm = TrustedRealm(
        id=_PLATFORM_ID,
        tenant=TenantRef(_PLATFORM_ID, "platform", "Platform"),
        issuer=settings.platform_issuer,
        realm_url=settings.platform_realm_url or lower_host(settings.platform_issuer),
        client_id=client_id,
        audiences=frozenset({client_id}),
        rules=(
            RoleRule("realm", PLATFORM_ROLE, PLATFORM_ROLE),
            RoleRule(f"client:{client_id}", PLATFORM_ROLE, PLATFORM_ROLE),
        ),
    )
    lookup = Snapshot()
    lookup.put(realm)
    signed = SignedTokens(lookup=lookup, jwks_cache=jwks_cache, roles=(PLATFORM_ROLE,), policy=policy, clocks=clocks)
    return TokenVerifier(signed, reporter=reporter)


async def _follow(services: Services) -> list[asyncio.Task[None]]:
    """Start the background loops."""
    loops = {"registry changes": services.replica.feed.run, "verification reports": services.reporter.run}
    if services.reconciler is not None:
        loops["realm checks"] = services.reconciler.run
    if services.assertion is not None:
        await services.assertion.renew()  # the first start creates the first key before the first request
        loops["assertion keys"] = services.assertion.run
    if services.metrics.is_shared:
        loops["metrics"] = services.metrics.publish
    return start_loops(loops, on_death=services.metrics.restarted)
