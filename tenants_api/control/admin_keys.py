"""Admin API keys: `tak_<id>_<secret>`, shown once, stored as SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.database.engine import utc_now
from tenants_api.errors import FieldError, ValidationFailed
from tenants_api.registry import audit
from tenants_api.registry.errors import ApiKeyNotFound
from tenants_api.registry.models import AdminApiKey
from tenants_api.registry.values import SCOPES, Change

PREFIX = "tak"
_KEY = re.compile(rf"{PREFIX}_([0-9a-f]{{12}})_[A-Za-z0-9_-]{{43}}")


async def create_admin_key(
    session: AsyncSession, *, name: str, scopes: Sequence[str], expires_at: datetime | None, change: Change
) -> tuple[AdminApiKey, str]:
    """Create a key; the second value is its text, which is not stored.

    Raises:
        ValidationFailed: a scope is unknown, or none is given.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise ValidationFailed(errors=[FieldError("/scopes", f"must be some of {', '.join(SCOPES)}")])
    key_id = secrets.token_hex(6)
    presented = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(32)}"
    row = AdminApiKey(
        key_id=key_id,
        name=name,
        digest=digest_of(presented),
        scopes=sorted(set(scopes)),
        expires_at=expires_at,
        revoked_at=None,
    )
    session.add(row)
    await session.flush()
    after = {"name": name, "scopes": row.scopes, "expires_at": expires_at.isoformat() if expires_at else None}
    await audit.record(
        session, action="api_key.created", target_type="api_key", target_id=str(row.id), change=change, after=after
    )
    return row, presented


async def find_admin_key(session: AsyncSession, *, presented: str, now: datetime) -> AdminApiKey | None:
    """The key with this text, unless it expired or was revoked."""
    shape = _KEY.fullmatch(presented)
    if shape is None:  # also texts that no database stores, such as a NUL
        return None
    row = await session.scalar(select(AdminApiKey).where(AdminApiKey.key_id == shape[1]))
    if row is None or not same_digest(presented, digest=row.digest):
        return None
    expired = row.expires_at is not None and row.expires_at <= now
    return None if expired or row.revoked_at is not None else row


async def list_admin_keys(session: AsyncSession) -> list[AdminApiKey]:
    """All keys, oldest first, also expired and revoked ones."""
    return list(await session.scalars(select(AdminApiKey).order_by(AdminApiKey.id)))


async def get_admin_key(session: AsyncSession, *, key_id: str) -> AdminApiKey:
    """The key with this id, or with this id in its text, revoked or not.

    Raises:
        ApiKeyNotFound: there is none.
    """
    row = await session.scalar(select(AdminApiKey).where(_named(key_id)))
    if row is None:
        raise ApiKeyNotFound
    return row


async def revoke_admin_key(session: AsyncSession, *, key_id: str, change: Change) -> None:
    """Revoke a key by its id or by the id in its text; a revoked key stays as it is.

    Raises:
        ApiKeyNotFound: there is none.
    """
    row = await get_admin_key(session, key_id=key_id)
    if row.revoked_at is None:
        row.revoked_at = utc_now()
        await audit.record(
            session, action="api_key.revoked", target_type="api_key", target_id=str(row.id), change=change,
            before={"name": row.name, "scopes": row.scopes},
        )  # fmt: skip


def digest_of(presented: str) -> str:
    """SHA-256 in hex; enough without a slow hash, because the secret has 256 random bits."""
    return hashlib.sha256(presented.encode("utf-8", "surrogatepass")).hexdigest()


def same_digest(presented: str, *, digest: str) -> bool:
    """Compare in constant time; as bytes, because `compare_digest` raises on texts that are not ASCII."""
    return hmac.compare_digest(digest_of(presented).encode(), digest.encode())


def _named(key_id: str) -> ColumnElement[bool]:
    try:
        return AdminApiKey.id == uuid.UUID(key_id)
    except ValueError:
        return AdminApiKey.key_id == key_id
