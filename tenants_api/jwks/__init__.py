"""Signature keys of realms, kept usable: parsing, the cache, refetches."""
