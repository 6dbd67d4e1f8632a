"""Signature keys of realms: parsing, the cache, refetches."""
