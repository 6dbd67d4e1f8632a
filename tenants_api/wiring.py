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
from tenants_api.migrating import is_at_head
from tenants_api.observability.metrics import Metrics
from tenants_api.onboarding import Onboarding
from tenants_api.onboarding.sample import SampleToken
from tenants_api.settings import Settings
from tenants_api.trust import RealmKeySource, Trust
from tenants_api.verification.cache import VerifiedTokens
from tenants_api.verification.claims import ClaimPolicy
from tenants_api.verification.clocks import Clocks
from tenants_api.verification.keys import KeyPolicy, KeyRing
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
    """The database is absent or not migrated. The message is one line with the command that cures it."""


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
        NotReady: the database cannot be reached or is not at the newest schema.
    """
    database = Database(settings.database_url, pool_size=settings.database_pool_size)
    services = _build(settings, database=database, roles=roles, clocks=clocks or Clocks())
    try:
        await _load(services)
        followers = await _follow(services) if background else []
        try:
            yield services
        finally:
            await _stop(followers)
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
    trust = Trust(database, source=source, keys=keys, poll=settings.registry_poll, clocks=clocks, on_event=observe)
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
    return Services(
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
        assertion=_assertion(settings, database=database, clocks=clocks),
    )


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


def _observer(metrics: Metrics) -> Any:
    def observe(ring: KeyRing, event: str) -> None:
        state = ring.state
        metrics.jwks_fetched("success" if event == "fetched" else "failure")
        if event == "failed":
            log.warning(
                "keys_not_fetched", issuer=ring.realm.issuer, reason=state.last_failure, failures=state.failures
            )

    return observe


async def _load(services: Services) -> None:
    try:
        if not await is_at_head(services.database):
            raise NotReady("the database is not at the newest schema; run `tenants-api db upgrade`")
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


async def _follow(services: Services) -> list[asyncio.Task[None]]:
    """What runs beside the requests."""
    if services.assertion is not None:
        await services.assertion.renew()  # a first start makes the first key before anybody wants an assertion
    tasks = [asyncio.create_task(services.trust.feed.run(), name="registry changes")]
    if services.assertion is not None:
        tasks.append(asyncio.create_task(services.assertion.run(), name="assertion keys"))
    return tasks


async def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
