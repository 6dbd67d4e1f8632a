"""A deterministic simulation of several replicas beside one database, their realms, admins and callers."""
