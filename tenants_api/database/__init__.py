"""The database: engine, sessions, row-level security, migrations, pagination."""
