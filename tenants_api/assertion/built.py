"""From settings to assertions, for the whole API and for standalone forward auth."""

from __future__ import annotations

from tenants_api.assertion.minting import AssertionPolicy, Assertions
from tenants_api.assertion.sealing import Seal
from tenants_api.assertion.storage import KeyStorage
from tenants_api.settings import Settings
from tenants_api.verification.clocks import Clocks


def build_assertions(settings: Settings, *, storage: KeyStorage, clocks: Clocks) -> Assertions | None:
    """None unless the assertion is turned on. Nothing is read yet; `look` reads the keys."""
    issuer = settings.assertion_issuer or settings.public_url
    if settings.assertion_secret is None or issuer is None:
        return None
    secrets = [one.strip() for one in settings.assertion_secret.get_secret_value().split(",")]
    policy = AssertionPolicy(
        issuer, settings.assertion_audiences, key_lifetime=settings.assertion_key_lifetime, leeway=settings.leeway
    )
    return Assertions(storage, policy=policy, seal=Seal(secrets), clocks=clocks)
