"""Path and header parameters of the admin plane."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Header, Path

from tenants_api.ids import is_id
from tenants_api.registry.errors import TenantNotFound
from tenants_api.schemas.base import is_slug


def tenant_ref(ref: Annotated[str, Path(max_length=100, description="id or slug", examples=["acme"])]) -> str:
    """The id or slug in the path. A text that is neither raises TenantNotFound without a query."""
    if not is_slug(ref) and not is_id(ref):
        raise TenantNotFound
    return ref


Ref = Annotated[str, Depends(tenant_ref)]
IfMatch = Annotated[str | None, Header(description="the ETag of the last read", examples=['"3"'])]
