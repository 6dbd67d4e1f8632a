"""One API that accepts the bearer tokens of many Keycloak realms."""

__version__ = "0.1.0"
