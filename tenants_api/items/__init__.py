"""The sample tenant resource: what a team's own tenant-scoped tables look like."""
