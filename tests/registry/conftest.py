"""Every test here runs on both databases, but for what PostgreSQL alone has."""

from __future__ import annotations

from tests.support.databases import (
    database,
    database_url,
    migrated_database,
    migrated_file,
    server_database,
    server_url,
)

__all__ = ["database", "database_url", "migrated_database", "migrated_file", "server_database", "server_url"]
