"""Tests against servers that are not ours: real Keycloak in front of a real `tenants-api serve`."""
