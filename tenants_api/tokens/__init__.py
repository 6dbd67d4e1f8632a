"""Is this token good, and whose is it. Knows no database, no web framework and no HTTP client."""
