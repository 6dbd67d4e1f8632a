"""Path and header parameters of the admin plane."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path, Request

from tenants_api.ids import is_id
from tenants_api.registry.errors import TenantNotFound
from tenants_api.schemas.base import is_slug


def tenant_ref(ref: Annotated[str, Path(max_length=100, description="id or slug", examples=["acme"])]) -> str:
    """The id or slug in the path. A text that is neither raises TenantNotFound without a query."""
    if not is_slug(ref) and not is_id(ref):
        raise TenantNotFound
    return ref


async def mount_path(request: Request) -> str:
    """The path where the admin plane is mounted, which precedes its own paths in a `Location`."""
    path: str = request.scope["root_path"]
    return path


Ref = Annotated[str, Depends(tenant_ref)]
MountPath = Annotated[str, Depends(mount_path)]
IfMatch = Annotated[str | None, Header(description="the ETag of the last read", examples=['"3"'])]
