"""`tenants-api demo`: the story of onboarding, on development realms or a local Keycloak."""
