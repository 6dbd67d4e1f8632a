"""`tenants-api demo`: onboarding step by step, with development realms or a local Keycloak."""
