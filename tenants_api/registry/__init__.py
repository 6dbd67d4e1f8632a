"""The registry: tables and statements of tenants, realms, role rules, admin keys and the audit log."""
