"""Guarded HTTP requests to addresses that a stranger names (SSRF)."""
