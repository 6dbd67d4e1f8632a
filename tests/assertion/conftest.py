"""Signing keys live on both databases."""

from __future__ import annotations

from tests.support.databases import database, database_url, migrated_database, migrated_file

__all__ = ["database", "database_url", "migrated_database", "migrated_file"]
