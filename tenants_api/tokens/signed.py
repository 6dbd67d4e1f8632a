"""Verifies signed tokens of the registered realms (RFC 7519).

The order is fixed: the registered realm by the token's issuer, that realm's key, the signature, and only then the
claims. Nothing in a token chooses the target of an outbound request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from tenants_api.clocks import Clocks
from tenants_api.jwks.cache import JwksCache
from tenants_api.jwks.parse import KeySet, VerifyKey
from tenants_api.jwks.realm_keys import MAX_KEY_WAIT_SECONDS, KeySetState, NoUsableKeys, loop_time
from tenants_api.tokens.authenticator import Authenticated
from tenants_api.tokens.claims import CLAIM_RULES, ClaimPolicy, check_expiry, check_revoked
from tenants_api.tokens.credentials import BEARER
from tenants_api.tokens.decode import UntrustedToken, VerifiedClaims, decode_unverified, refuse
from tenants_api.tokens.errors import KeysUnavailable, Refusal, TenantSuspended, TokenError
from tenants_api.tokens.principal import Principal, RoleTable, default_rules
from tenants_api.tokens.realms import RealmLookup, TrustedRealm, organizations

SERVICE_ACCOUNT_PREFIX = "service-account-"  # Keycloak's ServiceAccountConstants
MAX_CACHED_HEADERS = 4096  # different token headers; there is one for each key in use


class SignedTokens:
    """The `Authenticator` of the access tokens of all realms that `lookup` knows."""

    schemes = (BEARER,)

    def __init__(
        self, *, lookup: RealmLookup, jwks_cache: JwksCache, roles: Iterable[str], policy: ClaimPolicy, clocks: Clocks
    ) -> None:
        self.policy = policy
        self._lookup, self._jwks_cache, self._clocks = lookup, jwks_cache, clocks
        self._role_names = frozenset(roles)
        self._headers: dict[bytes, tuple[str, str]] = {}

    async def authenticate(
        self, token: bytes, *, tenant: str | None = None, max_wait: float = MAX_KEY_WAIT_SECONDS
    ) -> Authenticated:
        """See `Authenticator`. Any text is treated as a signed token, so this kind comes last."""
        unverified = decode_unverified(token, headers=self._headers, max_bytes=self.policy.max_token_bytes)
        until: float | None = None  # the end of the wait for keys (loop time); None before a wait
        while True:
            realm = self.realm_of(unverified, tenant=tenant)
            try:
                if unverified.algorithm not in realm.algorithms:
                    expected = sorted(realm.algorithms)
                    refuse("algorithm", "algorithm_refused", expected=expected, found=unverified.algorithm[:20])
                realm_keys = self._jwks_cache.of(realm)
                kid, algorithm = unverified.kid, unverified.algorithm
                key = realm_keys.ready(kid, algorithm=algorithm)
                if key is None:
                    until = loop_time() + max_wait if until is None else until
                    try:
                        key = await realm_keys.get(kid, algorithm=algorithm, max_wait=max(0.0, until - loop_time()))
                    except NoUsableKeys as none:
                        refusal = Refusal("key", "keys_unavailable", expected="keys of the realm", found=none.failure)
                        raise KeysUnavailable(refusal, retry_after=none.retry_after) from none
                    if not self._is_current(realm, token=unverified, tenant=tenant):
                        continue  # suspended, moved, purged or given to another tenant during the wait
                # No await from here on: the registry cannot change between these checks and the result.
                found = self._check(unverified, realm=realm, key=key, state=realm_keys.state)
                break
            except TokenError as error:
                if until is not None and not self._is_current(realm, token=unverified, tenant=tenant):
                    continue
                if error.refusal is not None:
                    error.refusal = _with_sender(error.refusal, token=unverified, realm=realm)
                raise
        if unverified.header not in self._headers:
            # Only of a verified token: otherwise a sender without a key could fill the cache.
            if len(self._headers) >= MAX_CACHED_HEADERS:
                self._headers.clear()
            self._headers[unverified.header] = (unverified.algorithm, unverified.kid)
        return found

    def _is_current(self, realm: TrustedRealm, *, token: UntrustedToken, tenant: str | None) -> bool:
        """Whether the token still belongs to this realm."""
        try:
            return self.realm_of(token, tenant=tenant) is realm
        except TokenError:
            return False

    def realm_of(self, token: UntrustedToken, *, tenant: str | None = None) -> TrustedRealm:
        """The realm registered under exactly the token's issuer, found in memory without I/O.

        Raises:
            InvalidToken: `unknown_issuer`, `unknown_organization` or `several_organizations`.
        """
        realm = self._lookup.find(token.issuer, organization=token.claims.get("organization"), tenant=tenant)
        if realm is None:
            if self._lookup.serves(token.issuer):
                expected = "a registered organization: the issuer is not registered as a whole; request the scope"
                refuse("organization", "unknown_organization", expected=f"{expected} `organization`", found=None)
            refuse("issuer", "unknown_issuer", expected="a registered issuer", found=token.issuer[:200])
        return realm

    def _check(
        self, token: UntrustedToken, *, realm: TrustedRealm, key: VerifyKey | None, state: KeySetState
    ) -> Authenticated:
        now, policy = self._clocks.wall(), self.policy
        if key is None:
            refuse("key", "unknown_key", expected=_kids(state.keys), found=token.kid)
        if not key.verifies(token.signing_input, signature=token.signature, algorithm=token.algorithm):
            refuse("signature", "bad_signature", expected=f"a signature by {key.kid}")
        claims = VerifiedClaims(token.claims)  # the only place where claims become verified
        if not state.enabled:
            refuse("realm_enabled", "realm_disabled", expected="a realm that is enabled in Keycloak")
        for _, rule in CLAIM_RULES:
            rule(claims, realm, now, policy)
        check_revoked(claims, not_before=max(realm.not_before, state.not_before))
        check_expiry(claims, realm, now, policy)
        if realm.suspended:
            raise TenantSuspended(Refusal("tenant", "tenant_suspended", expected="active", found="suspended"))
        key.last_used = now
        return Authenticated(
            self._principal(claims, realm=realm),
            realm,
            realm.epoch,
            math.inf,  # as long as the token is valid
            # A path chooses among several organizations of the token; one that is registered later changes the choice.
            any_path=realm.organization is None or len(organizations(claims.get("organization"))) <= 1,
            confirmation=claims.get("cnf"),
        )

    def _principal(self, claims: VerifiedClaims, *, realm: TrustedRealm) -> Principal:
        table = realm.role_table
        if table is None:
            rules = realm.rules or default_rules(realm.client_id, names=self._role_names)
            table = realm.role_table = RoleTable(rules, names=self._role_names)
        verified = claims.get("email_verified")
        username = _text(claims, "preferred_username")
        return Principal(
            tenant=realm.tenant,
            issuer=realm.issuer,
            organization=realm.organization,
            subject=claims["sub"],
            roles=table.roles_of(claims),
            username=username,
            email=_text(claims, "email"),
            email_verified=verified if isinstance(verified, bool) else None,
            full_name=_text(claims, "name"),
            authorized_party=claims.get("azp"),
            scope=_text(claims, "scope"),
            expires_at=int(claims["exp"]),
            service_account=username is not None
            and username.startswith(SERVICE_ACCOUNT_PREFIX)
            and _is_service_account(claims, username=username),
        )


def _with_sender(refusal: Refusal, *, token: UntrustedToken, realm: TrustedRealm) -> Refusal:
    """Add the values by which the tenant's admin finds the sender."""
    return refusal._replace(
        tenant_slug=realm.tenant.slug,
        tenant_id=realm.tenant.id,
        realm_id=realm.id,
        kid=token.kid,
        authorized_party=token.claims.get("azp"),
        audience=token.claims.get("aud"),
    )


def _kids(keys: KeySet | None) -> list[str]:
    return sorted(keys.keys)[:10] if keys is not None else []


def _text(claims: VerifiedClaims, name: str) -> str | None:
    """A claim that is a string, whole: shortened, it could be the name of another user."""
    value = claims.get(name)
    return value if isinstance(value, str) else None


def _is_service_account(claims: VerifiedClaims, *, username: str) -> bool:
    """Whether a user with the prefix is a client's service account.

    Its tokens have no session (`sid`), unless the client may have refresh tokens; then they name the client of the
    user's name (`client_id` of the scope `service_account`, `clientId` before Keycloak 25).
    """
    client = claims.get("client_id", claims.get("clientId"))
    named = isinstance(client, str) and username == SERVICE_ACCOUNT_PREFIX + client.lower()
    return named or "sid" not in claims
