"""Login attempts, counted in the database: all replicas share the count, and a restart does not reset it."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network, ip_address

import structlog
from sqlalchemy import delete
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.database.engine import Database, upsert
from tenants_api.errors import RateLimited
from tenants_api.registry.errors import RegistryUnavailable
from tenants_api.registry.models import LoginTries

MINUTE_SECONDS = 60
# Of `rate`: many users share an address, and more a tenant.
ADDRESS_RATE_FACTOR, TENANT_RATE_FACTOR = 10, 100
RETENTION_MINUTES = 2  # minutes
log = structlog.get_logger("tenants_api.login")


@dataclass(frozen=True, slots=True)
class LoginTry:
    """`address` is the client's, as the socket or a trusted proxy gives it."""

    tenant: str
    username: str
    address: str


async def admit_try(database: Database, tried: LoginTry, *, rate: int, now: float) -> None:
    """Count one attempt in a transaction of its own; see `count_try`.

    Raises:
        RateLimited: the attempt exceeds a limit.
        RegistryUnavailable: the attempt cannot be counted; unlimited guessing of passwords would be worse.
    """
    refused = None
    try:
        async with database.begin() as session:
            try:
                await count_try(session, tried, rate=rate, now=now)
            except RateLimited as error:
                refused = error
    except (SQLAlchemyError, OSError) as error:
        log.warning("login_not_counted", error=type(error).__name__)
        raise RegistryUnavailable from error
    if refused is not None:
        raise refused


async def count_try(session: AsyncSession, tried: LoginTry, *, rate: int, now: float) -> None:
    """Count one attempt, also one that is refused. At most `rate` a minute for a tenant's user, ten times that for an
    IPv4 address or the /64 of an IPv6 address, a hundred times that for a tenant.

    Raises:
        RateLimited: the attempt exceeds a limit; the caller commits the count all the same.
    """
    minute = int(now // MINUTE_SECONDS)
    limits = {
        _digest("user", tried.tenant, _account(tried.username)): rate,
        _digest("address", _network(tried.address)): rate * ADDRESS_RATE_FACTOR,
        _digest("tenant", tried.tenant): rate * TENANT_RATE_FACTOR,
    }
    counts = await _count(session, limits, minute=minute)
    if 1 in counts.values():  # a first attempt of this minute deletes the counts of earlier minutes
        await session.execute(delete(LoginTries).where(LoginTries.minute <= minute - RETENTION_MINUTES))
    if any(counts[digest] > limit for digest, limit in limits.items()):
        wait = max(1, round((minute + 1) * MINUTE_SECONDS - now))
        raise RateLimited("too many login attempts", headers={"Retry-After": str(wait)})


def _account(username: str) -> str:
    """One key for all spellings of an account. Keycloak accepts a user name in any case, and an e-mail address instead.

    Only the realm knows the account of an e-mail address: `alice` and `alice@acme.example` share one limit, as do all
    addresses with the same part before the @. Accents are left out, because some of Keycloak's databases find `alice`
    by `álice`.
    """
    letters = unicodedata.normalize("NFKD", username)
    name = "".join(one for one in letters if unicodedata.category(one) not in ("Mn", "Cf")).casefold().strip()
    return name.partition("@")[0] or name or username


def _network(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address: a host usually has a whole /64 (RFC 6177)."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:  # the path of a Unix socket, or empty
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((found, 64), strict=False))


async def _count(session: AsyncSession, digests: Iterable[str], *, minute: int) -> dict[str, int]:
    # Sorted, so that transactions lock rows in one order: two of them could otherwise deadlock.
    rows = [{"digest": digest, "minute": minute, "count": 1} for digest in sorted(digests)]
    adding = upsert(session, LoginTries).values(rows)
    counting = adding.on_conflict_do_update(
        index_elements=["digest", "minute"], set_={"count": LoginTries.count + 1}
    ).returning(LoginTries.digest, LoginTries.count.label("count_"))
    return {row.digest: row.count_ for row in await session.execute(counting)}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
