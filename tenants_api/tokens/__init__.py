"""Verification of credentials. Knows no database, no web framework and no HTTP client."""
