"""Commands: every change of a tenant, with its audit entry and version; onboarding checks and imports."""
