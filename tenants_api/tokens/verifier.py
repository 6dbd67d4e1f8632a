"""The verifier: returns the `Principal` of a credential, or raises one refusal.

It adds the verified-token cache and the checks that belong to the request to the kinds of tokens. A cached token passes
the same checks of the request as a new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Protocol

from tenants_api.jwks.realm_keys import MAX_KEY_WAIT_SECONDS
from tenants_api.tokens.authenticator import Authenticated, Authenticator, RequestCheck
from tenants_api.tokens.cache import VerifiedTokens
from tenants_api.tokens.credentials import Credential, credential_of
from tenants_api.tokens.errors import InvalidToken, MalformedCredentials, MissingToken, Refusal, TokenError
from tenants_api.tokens.principal import Principal
from tenants_api.tokens.signed import SignedTokens


class Reporter(Protocol):
    """Counts and logs results: of malformed credentials, of tokens not in the cache, and of checks of a request."""

    def accepted(self, found: Authenticated, *, seconds: float) -> None: ...

    def refused(self, error: TokenError, *, seconds: float) -> None: ...

    def malformed(self, refusal: Refusal) -> None: ...


class TokenVerifier:
    """Verifies credentials of every kind."""

    def __init__(
        self,
        signed: SignedTokens,
        *,
        others: Sequence[Authenticator] = (),
        cache: VerifiedTokens | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        """`others` come before `signed`, in their order."""
        self.signed = signed
        self._kinds: dict[str, list[Authenticator]] = {}
        self._schemes = {scheme.encode(): scheme for kind in (*others, signed) for scheme in kind.schemes}
        for kind in (*others, signed):
            for scheme in kind.schemes:
                self._kinds.setdefault(scheme, []).append(kind)
        self._cache, self._reporter = cache, reporter

    @property
    def cached_tokens(self) -> int:
        """How many tokens are in the verified-token cache."""
        return len(self._cache) if self._cache is not None else 0

    def credential_of(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        query: bytes = b"",
        method: str | None = None,
        url: str | None = None,
    ) -> Credential:
        """The one credential of a request, with a scheme that some kind of token uses.

        Raises:
            MissingToken, MalformedCredentials, UriTooLong: see `credentials.credential_of`.
        """
        try:
            return credential_of(
                headers,
                query=query,
                method=method,
                url=url,
                schemes=self._schemes,
                max_bytes=self.signed.policy.max_token_bytes,
            )
        except MalformedCredentials as error:
            if self._reporter is not None:
                self._reporter.malformed(error.refusal)
            raise

    async def verify(
        self, credential: Credential, *, tenant: str | None = None, max_wait: float = MAX_KEY_WAIT_SECONDS
    ) -> Principal:
        """The principal of a credential.

        `max_wait` is how many seconds it may wait for a realm; a fetch that takes longer continues in the background.
        `tenant` is the slug in the request's path: it chooses among the organizations that the token names, and nothing
        else.

        Raises:
            MissingToken: no kind of token uses this scheme.
            InvalidToken, TokenExpired: the token is refused; `refusal` has the reason.
            TenantSuspended: the token is good, its tenant is suspended.
            KeysUnavailable: the realm is registered, but its keys cannot be fetched.
        """
        key, known = b"", None
        if self._cache is not None:
            key, known = self._cache.find(credential.token, scheme=credential.scheme, tenant=tenant)
            if known is not None and known.check is None:
                return known.principal
        begun = perf_counter()
        try:
            found = known
            if found is None:
                found = await self.authenticate(credential, tenant=tenant, max_wait=max_wait)
            # No await from here on: the registry cannot change between these checks and the result.
            if found.check is not None:
                _check(found, check=found.check, credential=credential)
        except TokenError as error:
            if self._reporter is not None:
                self._reporter.refused(error, seconds=perf_counter() - begun)
            raise
        if self._reporter is not None:
            self._reporter.accepted(found, seconds=perf_counter() - begun)
        if known is None and self._cache is not None:
            self._cache.put(key, entry=found, tenant=tenant)
        return found.principal

    async def authenticate(
        self, credential: Credential, *, tenant: str | None = None, max_wait: float = MAX_KEY_WAIT_SECONDS
    ) -> Authenticated:
        """Verify a token without the cache and the checks of the request, for `explain`. Raises as `verify`."""
        found = None
        for kind in self._kinds.get(credential.scheme, ()):
            found = await kind.authenticate(credential.token, tenant=tenant, max_wait=max_wait)
            if found is not None:
                break
        if found is None:
            raise MissingToken(Refusal("credentials", "unknown_kind", expected="a kind of token that is configured"))
        if found.epoch != found.realm.epoch:
            # Suspended, moved or purged during an await of the authenticator: the present registry decides.
            return await self.authenticate(credential, tenant=tenant, max_wait=max_wait)
        if found.confirmation is not None and found.check is None:
            refusal = Refusal("confirmation", "sender_constrained", expected="no cnf", found="cnf")
            raise InvalidToken(_with_tenant(refusal, found=found))
        return found


def _check(found: Authenticated, *, check: RequestCheck, credential: Credential) -> None:
    """Run the check that belongs to the request; a refusal gets the token's tenant, for the operator."""
    try:
        check(credential)
    except TokenError as error:
        if error.refusal is not None and error.refusal.tenant_id is None:
            error.refusal = _with_tenant(error.refusal, found=found)
        raise


def _with_tenant(refusal: Refusal, *, found: Authenticated) -> Refusal:
    tenant = found.realm.tenant
    return refusal._replace(tenant_slug=tenant.slug, tenant_id=tenant.id)
