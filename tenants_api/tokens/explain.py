"""Explains to an admin, step by step, why a token is accepted or refused. Stores and logs nothing.

It runs the verifier and reports the step that refused the token; it has no rules of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenants_api.tokens.claims import CLAIM_RULES
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.decode import UntrustedToken, decode_unverified
from tenants_api.tokens.errors import Refusal, TokenError
from tenants_api.tokens.principal import Principal, TenantRef, names_of
from tenants_api.tokens.realms import TrustedRealm
from tenants_api.tokens.verifier import TokenVerifier

STEPS = (
    "format",
    "header",
    "issuer",
    "organization",
    "algorithm",
    "key",
    "signature",
    "realm_enabled",
    *(name for name, _ in CLAIM_RULES),
    "revocation",
    "expiry",
    "tenant",
)
_CLAIM_OF = {
    "issuer": "iss",
    "organization": "organization",
    "type": "typ",
    "subject": "sub",
    "audience": "aud",
    "authorized_party": "azp",
    "issued_at": "iat",
    "not_before": "nbf",
    "expiry": "exp",
}
# What to do about the step that refused a token.
_HINTS = {
    "format": "send an access token (JWT) as Keycloak issued it",
    "issuer": "register this issuer as a realm of a tenant, or get the token from a registered one",
    "organization": "register the organization as a realm of a tenant (member `organization`)",
    "algorithm": "add the algorithm to the realm's algorithms, or have the client's tokens signed with another",
    "key": "the realm does not publish this key: fetch the keys again, and compare the environment of the token",
    "signature": "the token was changed or signed by another key: get a new one from the realm",
    "realm_enabled": "switch the realm on in Keycloak under Realm settings → Enabled",
    "type": "send the access token, not the ID token or the refresh token",
    "subject": "add the client scope `basic`, or a mapper for `sub`, to the client {party}",
    "audience": "in Keycloak add an audience mapper for {client} to the client {party}",
    "authorized_party": "add the client to the realm's authorized_parties, or use one of the clients that are listed",
    "issued_at": "synchronize the clocks of Keycloak and of this API",
    "not_before": "synchronize the clocks of Keycloak and of this API",
    "revocation": "the realm revoked tokens as old as this one (not-before): get a new token",
    "expiry": "the token's lifetime is over: get a new token",
    "tenant": "the tenant is suspended: resume it to accept its tokens",
}
_NO_ROLE = "map one of the roles that were found to a role of this application, or give the user one in Keycloak"
MAX_ROLES_FOUND = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the pipeline with the expected and the found value; never the token itself."""

    step: str
    ok: bool
    expected: Any = None
    found: Any = None


@dataclass(frozen=True, slots=True)
class RoleFound:
    """A name in a token, unverified, as a role rule names it."""

    source: str
    value: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision about a token. `steps` ends with the one that refused it.

    `hint` is what to do, None if nothing; `roles_found` are the names in the token that a role rule can map.
    """

    accepted: bool
    reason: str
    tenant: TenantRef | None
    steps: tuple[Step, ...]
    roles: tuple[str, ...]
    hint: str | None
    roles_found: tuple[RoleFound, ...]


async def explain(verifier: TokenVerifier, credential: Credential) -> Explanation:
    """Explain one token, without the checks that belong to a request; a refused token is no error."""
    token = _decoded(verifier, credential.token)
    try:
        principal: Principal | None = (await verifier.authenticate(credential)).principal
        refusal = None
    except TokenError as error:
        principal, refusal = None, error.refusal or Refusal("format", error.code)
    realm = _realm(verifier, token)  # as the registry was when the verification ended
    return Explanation(
        accepted=principal is not None,
        reason=refusal.reason if refusal else "accepted",
        tenant=realm.tenant if realm is not None else None,
        steps=_steps(token, realm=realm, refusal=refusal),
        roles=tuple(sorted(principal.roles)) if principal is not None else (),
        hint=_hint(refusal, token=token, realm=realm)
        if refusal
        else None
        if principal and principal.roles
        else _NO_ROLE,
        roles_found=_roles_found(token.claims) if token is not None else (),
    )


def _hint(refusal: Refusal, *, token: UntrustedToken | None, realm: TrustedRealm | None) -> str | None:
    hint = _HINTS.get(refusal.step, "")
    party = token.claims.get("azp") if token is not None else None
    client = realm.client_id if realm is not None else "this API"
    named = repr(party) if isinstance(party, str) else "that gets the token"
    return hint.format(party=named, client=client) or None


def _roles_found(claims: Mapping[str, Any]) -> tuple[RoleFound, ...]:
    clients = claims.get("resource_access")
    sources = ["realm", *(f"client:{one}" for one in (clients if isinstance(clients, dict) else ())), "group", "scope"]
    found = [RoleFound(source, value) for source in sources for value in sorted(names_of(claims, source=source))]
    return tuple(found[:MAX_ROLES_FOUND])


def _steps(token: UntrustedToken | None, *, realm: TrustedRealm | None, refusal: Refusal | None) -> tuple[Step, ...]:
    steps = []
    for name in STEPS:
        if refusal is not None and name == refusal.step:
            steps.append(Step(name, False, refusal.expected, refusal.found))
            break
        steps.append(Step(name, True, _expected(name, realm=realm), _found(name, token=token)))
    return tuple(steps)


def _expected(step: str, *, realm: TrustedRealm | None) -> Any:
    if realm is None:
        return None
    values = {
        "issuer": realm.issuer,
        "organization": realm.organization or "the whole realm",
        "algorithm": sorted(realm.algorithms),
        "audience": sorted(realm.audiences),
        "authorized_party": sorted(realm.authorized_parties) or "any client of the realm",
        "type": "Bearer",
    }
    return values.get(step)


def _found(step: str, *, token: UntrustedToken | None) -> Any:
    if token is None:
        return None
    if step == "algorithm":
        return token.algorithm
    if step == "key":
        return token.kid
    return token.claims.get(_CLAIM_OF[step]) if step in _CLAIM_OF else None


def _decoded(verifier: TokenVerifier, token: bytes) -> UntrustedToken | None:
    try:
        return decode_unverified(token, max_bytes=verifier.signed.policy.max_token_bytes)
    except TokenError:
        return None


def _realm(verifier: TokenVerifier, token: UntrustedToken | None) -> TrustedRealm | None:
    try:
        return verifier.signed.realm_of(token) if token is not None else None
    except TokenError:
        return None
