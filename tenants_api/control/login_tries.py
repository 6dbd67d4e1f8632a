"""Tries to log in, counted in the database: all replicas share the count, and a restart forgets none."""

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

MINUTE = 60
# Many people stand behind one address, and many users in one tenant.
PER_ADDRESS, PER_TENANT = 10, 100
SWEPT_AFTER = 2  # minutes
log = structlog.get_logger("tenants_api.login")


@dataclass(frozen=True, slots=True)
class LoginTry:
    """Who tries, and where. `address` is what the socket says, or a trusted proxy."""

    tenant: str
    username: str
    address: str


async def admit_try(database: Database, tried: LoginTry, *, rate: int, now: float) -> None:
    """Count one try in a transaction of its own; see `count_try`.

    Raises:
        RateLimited: it is one too many.
        RegistryUnavailable: it cannot be counted. Guessing passwords without a limit is worse than waiting.
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
    """Count one try, also one that is refused. At most `rate` a minute for a tenant's user, ten times that for an
    IPv4 address or the /64 of an IPv6 address, a hundred times that for a tenant.

    Raises:
        RateLimited: it is one too many; what was counted must be committed all the same.
    """
    minute = int(now // MINUTE)
    limits = {
        _digest("user", tried.tenant, _account(tried.username)): rate,
        _digest("address", _network(tried.address)): rate * PER_ADDRESS,
        _digest("tenant", tried.tenant): rate * PER_TENANT,
    }
    counts = await _count(session, limits, minute=minute)
    if 1 in counts.values():  # somebody's first try of this minute: others' old ones can go
        await session.execute(delete(LoginTries).where(LoginTries.minute <= minute - SWEPT_AFTER))
    if any(counts[digest] > limit for digest, limit in limits.items()):
        wait = max(1, round((minute + 1) * MINUTE - now))
        raise RateLimited("too many login tries", headers={"Retry-After": str(wait)})


def _account(username: str) -> str:
    """What the spellings of one account have in common. Keycloak takes a name in any case, and an e-mail for it.

    Which account an e-mail belongs to is the realm's knowledge: by its part before the @, `alice` and
    `alice@acme.example` are one, and users who share that part share the limit. Accents are left out, for some of
    Keycloak's databases find `alice` by `álice`.
    """
    letters = unicodedata.normalize("NFKD", username)
    name = "".join(one for one in letters if unicodedata.category(one) not in ("Mn", "Cf")).casefold().strip()
    return name.partition("@")[0] or name or username


def _network(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address: a host with one address of a /64 has all of them (RFC 6177)."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:  # the path of a Unix socket, or nothing
        return address
    if isinstance(found, IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or IPv6Network((found, 64), strict=False))


async def _count(session: AsyncSession, digests: Iterable[str], *, minute: int) -> dict[str, int]:
    # In one order for all replicas: two that wait for each other's rows would never end.
    rows = [{"digest": digest, "minute": minute, "count": 1} for digest in sorted(digests)]
    adding = upsert(session, LoginTries).values(rows)
    counting = adding.on_conflict_do_update(
        index_elements=["digest", "minute"], set_={"count": LoginTries.count + 1}
    ).returning(LoginTries.digest, LoginTries.count.label("count_"))
    return {row.digest: row.count_ for row in await session.execute(counting)}


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
