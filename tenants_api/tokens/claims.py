"""The claim rules for an access token (RFC 7519 section 4, RFC 9068 section 4, Keycloak's own `typ`).

Every rule is a function that refuses or returns. The rules run after the signature check, in the order of
`CLAIM_RULES`. The expiry comes last: only the response to a token that is good in all else names it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenants_api.tokens.decode import MAX_TOKEN_BYTES, VerifiedClaims, refuse
from tenants_api.tokens.errors import Refusal, TokenExpired
from tenants_api.tokens.realms import TrustedRealm

MAX_SUBJECT_CHARACTERS = 255
LATEST_EPOCH_SECONDS = 253_402_300_799  # 9999-12-31T23:59:59Z: the last second that a datetime can hold


@dataclass(frozen=True, slots=True)
class ClaimPolicy:
    """What a token may be. `leeway` (clock difference granted) and `max_lifetime` (of exp - iat) are seconds.

    `types` are values of `typ` in lower case. `confirmations` are the members of `cnf` whose proof the caller checks;
    every other bound token is refused.
    """

    leeway: int = 30
    max_lifetime: int = 86_400
    max_token_bytes: int = MAX_TOKEN_BYTES
    types: frozenset[str] = frozenset({"bearer"})
    confirmations: frozenset[str] = frozenset()


def check_type(claims: VerifiedClaims, realm: TrustedRealm, now: float, policy: ClaimPolicy) -> None:
    """Keycloak signs ID, refresh, offline and logout tokens with the same keys; only `Bearer` is an access token."""
    kind = claims.get("typ")
    if not isinstance(kind, str) or kind.lower() not in policy.types:
        expected = " or ".join(sorted(policy.types)).capitalize()
        refuse("type", "not_an_access_token", expected=expected, found=_short(kind))


def check_confirmation(claims: VerifiedClaims, realm: TrustedRealm, now: float, policy: ClaimPolicy) -> None:
    """A sender-constrained token (RFC 9449, RFC 8705) sent as plain Bearer may be stolen."""
    if "cnf" in claims and not _is_confirmed(claims["cnf"], by=policy.confirmations):
        expected = f"cnf with {' or '.join(sorted(policy.confirmations))}" if policy.confirmations else "no cnf"
        refuse("confirmation", "sender_constrained", expected=expected, found="cnf")


def _is_confirmed(confirmation: Any, *, by: frozenset[str]) -> bool:
    """Whether every member of a `cnf` (RFC 7800 section 3.1), one at least, is among those that are checked."""
    return isinstance(confirmation, dict) and bool(confirmation) and confirmation.keys() <= by


def check_subject(claims: VerifiedClaims, realm: TrustedRealm, now: float, policy: ClaimPolicy) -> None:
    """`sub` is required (RFC 9068 section 2.2); Keycloak's lightweight tokens lack it."""
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT_CHARACTERS or not subject.isprintable():
        refuse("subject", "no_subject", expected="a printable string of 1 to 255 characters", found=_short(subject))
    if not subject.strip():
        refuse("subject", "no_subject", expected="a character other than white space", found="white space")


def check_audience(claims: VerifiedClaims, realm: TrustedRealm, now: float, policy: ClaimPolicy) -> None:
    """`aud` must name this API: a token for another API is refused (RFC 9068 section 4)."""
    audience = claims.get("aud")
    if isinstance(audience, str) and audience in realm.audiences:
        return
    # Without a maximum: a user with roles in a hundred clients has as many audiences. The token's size bounds them.
    listed = audience if isinstance(audience, list) else []
    if not {str}.issuperset(map(type, listed)) or realm.audiences.isdisjoint(listed):
        refuse("audience", "wrong_audience", expected=sorted(realm.audiences), found=_short(audience))


def check_authorized_party(claims: VerifiedClaims, realm: TrustedRealm, now: float, policy: ClaimPolicy) -> None:
    """`azp` is the client that got the token; an allow-list beside the audience, never instead of it."""
    party = claims.get("azp")
    if party is not None and not isinstance(party, str):
        refuse("authorized_party", "wrong_authorized_party", expected="a string", found=_short(party))
    if realm.authorized_parties and party not in realm.authorized_parties:
        expected = sorted(realm.authorized_parties)
        refuse("authorized_party", "wrong_authorized_party", expected=expected, found=_short(party))


def check_token_id(claims: VerifiedClaims, realm: TrustedRealm, now: float, policy: ClaimPolicy) -> None:
    """`jti` is a string (RFC 7519 section 4.1.7). This API does not read it; services behind it may."""
    if not isinstance(claims.get("jti", ""), str):
        refuse("token_id", "wrong_jti", expected="a string", found=_short(claims["jti"]))


def check_issued_at(claims: VerifiedClaims, realm: TrustedRealm, now: float, policy: ClaimPolicy) -> None:
    """`iat` is required, for not-before and the maximum lifetime are counted from it; it must not be in the future."""
    issued = _time(claims, "iat", step="issued_at")
    if issued > now + policy.leeway:
        refuse("issued_at", "issued_in_the_future", expected=f"at most {int(now) + policy.leeway}", found=issued)


def check_not_before(claims: VerifiedClaims, realm: TrustedRealm, now: float, policy: ClaimPolicy) -> None:
    """`nbf` must not be in the future (RFC 7519 section 4.1.5). Mappers that write `nbf: 0` are common."""
    if "nbf" in claims and (begin := _time(claims, "nbf", step="not_before", least=0)) > now + policy.leeway:
        refuse("not_before", "not_yet_valid", expected=f"at most {int(now) + policy.leeway}", found=begin)


def check_expiry(claims: VerifiedClaims, realm: TrustedRealm, now: float, policy: ClaimPolicy) -> None:
    """`exp` is required, and at most `max_lifetime` after `iat`: a misbehaving realm could issue endless tokens."""
    expires, issued = _time(claims, "exp", step="expiry"), claims["iat"]
    if expires - issued > policy.max_lifetime:
        expected = f"at most {policy.max_lifetime} s after iat"
        refuse("expiry", "lives_too_long", expected=expected, found=f"{expires - issued} s")
    if expires <= now - policy.leeway:
        raise TokenExpired(Refusal("expiry", "expired", f"later than {int(now) - policy.leeway}", expires))


CLAIM_RULES: tuple[tuple[str, Callable[[VerifiedClaims, TrustedRealm, float, ClaimPolicy], None]], ...] = (
    ("type", check_type),
    ("confirmation", check_confirmation),
    ("subject", check_subject),
    ("audience", check_audience),
    ("authorized_party", check_authorized_party),
    ("token_id", check_token_id),
    ("issued_at", check_issued_at),
    ("not_before", check_not_before),
)


def check_revoked(claims: VerifiedClaims, *, not_before: int) -> None:
    """Keycloak's not-before: a token issued earlier was revoked by its realm (or by the registry row)."""
    if claims["iat"] < not_before:
        refuse("revocation", "issued_before_not_before", expected=f"at least {not_before}", found=claims["iat"])


def _time(claims: VerifiedClaims, name: str, *, step: str, least: int = 1) -> int | float:
    """A NumericDate (RFC 7519 section 2): a number, possibly with a fraction. Booleans and texts are refused."""
    value = claims.get(name)
    if (
        not (type(value) is int or type(value) is float) or not least <= value <= LATEST_EPOCH_SECONDS
    ):  # no comparison holds for NaN
        expected = f"a number of epoch seconds from {least} to {LATEST_EPOCH_SECONDS}"
        refuse(step, f"no_{name}", expected=expected, found=_short(value))
    return value


def _short(value: Any) -> Any:
    """A claim for the operator, shortened and never nested deeper than one list."""
    if isinstance(value, str):
        return value[:200]
    if isinstance(value, list):
        return [_short(one) if isinstance(one, str) else type(one).__name__ for one in value[:20]]
    return (
        value
        if value is None or (isinstance(value, int | float) and abs(value) <= LATEST_EPOCH_SECONDS)
        else type(value).__name__
    )
