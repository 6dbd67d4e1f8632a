"""The table of signing keys. It stands outside row-level security: the keys belong to no tenant."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from tenants_api.db import Base, UtcDateTime, utc_now


class AssertionKey(Base):
    """One signing key, its private half sealed. `sequence` makes replicas that rotate at once agree on one key."""

    __tablename__ = "assertion_keys"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    signs_from: Mapped[int] = mapped_column(BigInteger)  # epoch seconds
    sealed: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
