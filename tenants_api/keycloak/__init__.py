"""The documents of a realm, read through the guarded HTTP client. Knows no database."""
