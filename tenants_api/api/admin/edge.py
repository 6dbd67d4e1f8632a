"""The transactions of the admin plane, and what its paths may name.

A handler hands its one call to `read` or `apply`. `apply` commits before the answer is made, and then this worker
looks at the registry, so that the caller's next request meets the change; other replicas learn of it by their feed.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import structlog
from fastapi import Depends, Header, Path, Query, Request, Response
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.api.versions import parse_if_match, require_if_match
from tenants_api.paging import PageRequest
from tenants_api.registry.errors import RealmNotFound, TenantNotFound
from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.service import etag
from tenants_api.wiring import Services

T = TypeVar("T")
SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
log = structlog.get_logger("tenants_api.admin")


async def read(services: Services, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run one call of the registry that only reads."""
    async with services.database.read() as session:
        return await work(session)


async def apply(services: Services, work: Callable[[AsyncSession], Awaitable[T]]) -> T:
    """Run one call of the registry, commit, and let this worker know what changed."""
    async with services.database.begin() as session:
        result = await work(session)
    try:
        await services.trust.refresh()
    except (SQLAlchemyError, OSError) as error:
        # The change is committed: a failure to read it back is the feed's to mend, not the caller's.
        log.warning("registry_not_read", error=type(error).__name__)
    return result


def is_uuid(text: str) -> bool:
    """Whether the registry would take the text for an id; it then never looks for a slug."""
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def tenant_ref(
    ref: Annotated[str, Path(description="Id or slug of the tenant", examples=["acme"], max_length=100)],
) -> str:
    """The tenant that the path names; what can be neither id nor slug is no tenant."""
    if not SLUG.fullmatch(ref) and not is_uuid(ref):
        raise TenantNotFound
    return ref


def realm_ref(
    realm_id: Annotated[str, Path(description="Id of the realm", max_length=100, examples=[str(uuid.UUID(int=7))])],
) -> uuid.UUID:
    """The realm that the path names; what is no id is no realm."""
    if not is_uuid(realm_id):
        raise RealmNotFound
    return uuid.UUID(realm_id)


def page_request(
    limit: Annotated[int, Query(ge=1, le=100)] = 25,
    after: Annotated[str | None, Query(max_length=64)] = None,
    before: Annotated[str | None, Query(max_length=64)] = None,
) -> PageRequest:
    """The place in a keyset list that a request asks for."""
    return PageRequest(limit=limit, after=after, before=before)


def required_version(
    if_match: Annotated[str | None, Header(description="ETag of the last read; required", examples=['"3"'])] = None,
) -> int | None:
    """The version that the caller read. Raises IfMatchRequired, EtagMismatch."""
    return require_if_match(if_match)


def expected_version(
    if_match: Annotated[str | None, Header(description="ETag of the last read", examples=['"3"'])] = None,
) -> int | None:
    """The version that the caller read, if it says so. Raises EtagMismatch."""
    return parse_if_match(if_match)


TenantRef = Annotated[str, Depends(tenant_ref)]
RealmRef = Annotated[uuid.UUID, Depends(realm_ref)]
PageDep = Annotated[PageRequest, Depends(page_request)]
RequiredVersion = Annotated[int | None, Depends(required_version)]
ExpectedVersion = Annotated[int | None, Depends(expected_version)]


def tag(response: Response, row: Tenant | Realm) -> None:
    """Give the answer the row's ETag."""
    response.headers["ETag"] = etag(row)


def locate(response: Response, request: Request, *path: str) -> None:
    """Give the answer its Location, below wherever this plane is mounted."""
    response.headers["Location"] = "/".join([f"{request.scope.get('root_path', '')}/v1", *path])
