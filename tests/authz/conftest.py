"""The fixtures of these tests."""

from tests.support.databases import database_url, migrated_database, migrated_file
from tests.support.one_app import client, realms

__all__ = ["client", "database_url", "migrated_database", "migrated_file", "realms"]
