"""The fixtures of these tests."""

from tests.support.one_app import client, realms

__all__ = ["client", "realms"]
