"""`RegistryStorage` and `KeyStorage`: the same cases on SQLite and on PostgreSQL."""
