"""What every connection is opened with, whoever opens it: SQLAlchemy's engine or a driver by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TURN = 5.0  # seconds to wait for one of our own connections
PATIENCE = 2.0  # seconds at shutdown
LOCK_TIMEOUT = 10.0  # seconds that a writer of an SQLite file waits for another one
SQLITE_SET_UP = ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL", "PRAGMA foreign_keys=ON")
# prepare_threshold None: server-side prepared statements break behind PgBouncer in transaction mode.
POSTGRES_OPTIONS: Mapping[str, Any] = {"prepare_threshold": None, "connect_timeout": 5}  # seconds
