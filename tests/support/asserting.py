"""Assertions by hand: a replica on a clock of the test's own, a caller, and a service that verifies."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import jwt

from tenants_api.assertions.minting import AssertionPolicy, Assertions
from tenants_api.assertions.storage import SessionKeys
from tenants_api.clocks import Clocks
from tenants_api.database.engine import Database
from tenants_api.encoding.sealing import Seal
from tenants_api.tokens.principal import Principal, TenantRef
from tests.support.tokens import Clock

SECRET = "tests-assertion-secret-0123456789abcdef"
OTHER_SECRET = "another-assertion-secret-0123456789abcdef"
ISSUER = "https://api.example"
AUDIENCES = ("internal", "billing")
LIFETIME = 3600  # of a key


def replica(database: Database, clock: Clock, *, secrets: tuple[str, ...] = (SECRET,)) -> Assertions:
    """One process's view of the stored keys."""
    return Assertions(
        SessionKeys(database),
        policy=AssertionPolicy(ISSUER, AUDIENCES, key_lifetime=LIFETIME),
        seal=Seal(secrets),
        clocks=Clocks(wall=lambda: clock.now, monotonic=lambda: clock.steady),
    )


def caller(
    slug: str = "acme", *, expires_at: float, roles: frozenset[str] = frozenset({"viewer", "editor"})
) -> Principal:
    """Alice of that tenant."""
    return Principal(
        tenant=TenantRef(uuid.uuid5(uuid.NAMESPACE_URL, slug), slug, slug.title()),
        issuer=f"https://id.example/realms/{slug}",
        organization=None,
        subject="65ec3e18-558a-486f-b14a-ecc7ba1e2dfa",
        roles=roles,
        username="alice",
        email=f"alice@{slug}.example",
        email_verified=True,
        full_name="Alice Doe",
        authorized_party="web",
        scope="openid",
        expires_at=int(expires_at),
        service_account=False,
    )


@dataclass
class Verifier:
    """A service behind the API, with the key set that it once fetched. Its clock is the test's."""

    keys: dict[str, Any]
    clock: Clock

    def claims(self, raw: str, *, audience: str = "internal") -> dict[str, Any]:
        """Raises jwt.PyJWTError, or LookupError for a kid that the set lacks."""
        kid = jwt.get_unverified_header(raw)["kid"]
        jwk = next((key for key in self.keys["keys"] if key["kid"] == kid), None)
        if jwk is None:
            raise LookupError(kid)
        required = ["exp", "iat", "iss", "aud", "sub"]
        options: Any = {"require": required, "verify_exp": False, "verify_iat": False}
        claims: dict[str, Any] = jwt.decode(
            raw, jwt.PyJWK(jwk), algorithms=["ES256"], audience=audience, issuer=ISSUER, options=options
        )
        assert claims["iat"] <= self.clock.now < claims["exp"]
        return claims
