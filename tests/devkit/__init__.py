"""Tests of the development realms, held against what a real Keycloak said (tests/data/keycloak-samples.json)."""
