"""Explains to an admin, step by step, why a token is accepted or refused. Stores and logs nothing.

It runs the verifier and reports the step that refused the token; it has no rules of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tenants_api.tokens.claims import CLAIM_RULES
from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.decode import UntrustedToken, decode_unverified
from tenants_api.tokens.errors import Refusal, TokenError
from tenants_api.tokens.principal import Principal, TenantRef
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


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the pipeline with the expected and the found value; never the token itself."""

    step: str
    ok: bool
    expected: Any = None
    found: Any = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision about a token. `steps` ends with the one that refused it."""

    accepted: bool
    reason: str
    tenant: TenantRef | None
    steps: tuple[Step, ...]
    roles: tuple[str, ...]


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
    )


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
