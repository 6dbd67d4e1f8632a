"""The verifier: from a credential to a `Principal`, or to one refusal.

Round the kinds of tokens stand the cache of verified tokens and the checks that belong to the request. There is one way
through: a token that is known passes the same checks as one that was verified just now.
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
    """Is told what became of a credential that is malformed, was not known before, or whose request was checked."""

    def accepted(self, *, seconds: float) -> None: ...

    def refused(self, error: TokenError, *, seconds: float) -> None: ...

    def malformed(self, refusal: Refusal) -> None: ...


class TokenVerifier:
    """Verifies credentials of every kind that there is."""

    def __init__(
        self,
        signed: SignedTokens,
        *,
        others: Sequence[Authenticator] = (),
        cache: VerifiedTokens | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        """`others` are asked before `signed`, in their order."""
        self.signed = signed
        self._kinds: dict[str, list[Authenticator]] = {}
        self._schemes = {scheme.encode(): scheme for kind in (*others, signed) for scheme in kind.schemes}
        for kind in (*others, signed):
            for scheme in kind.schemes:
                self._kinds.setdefault(scheme, []).append(kind)
        self._cache, self._reporter = cache, reporter

    @property
    def cached_tokens(self) -> int:
        """How many verified tokens are kept."""
        return len(self._cache) if self._cache is not None else 0

    def credential_of(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        query: bytes = b"",
        method: str | None = None,
        url: str | None = None,
    ) -> Credential:
        """The one credential of a request, with one of the schemes that a kind of token comes with.

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
        self, credential: Credential, *, tenant: str | None = None, patience: float = MAX_KEY_WAIT_SECONDS
    ) -> Principal:
        """The principal of a credential.

        `patience` is the seconds that it may wait for a realm; a fetch that takes longer goes on without it. `tenant`
        is the slug in the request's path: it chooses among the organizations that the token names, and nothing else.

        Raises:
            MissingToken: no kind of token comes with this scheme.
            InvalidToken, TokenExpired: the token is refused; `refusal` says why.
            TenantSuspended: the token is good, its tenant is suspended.
            KeysUnavailable: the realm is registered, its keys cannot be had.
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
                found = await self.authenticate(credential, tenant=tenant, patience=patience)
            # From here on nothing is waited for: whatever decides is of this very moment.
            if found.check is not None:
                _check(found, check=found.check, credential=credential)
        except TokenError as error:
            if self._reporter is not None:
                self._reporter.refused(error, seconds=perf_counter() - begun)
            raise
        if self._reporter is not None:
            self._reporter.accepted(seconds=perf_counter() - begun)
        if known is None and self._cache is not None:
            self._cache.put(key, entry=found, tenant=tenant)
        return found.principal

    async def authenticate(
        self, credential: Credential, *, tenant: str | None = None, patience: float = MAX_KEY_WAIT_SECONDS
    ) -> Authenticated:
        """What the kinds find out about a token, past the cache and without the checks that belong to the request.

        For whoever asks about a token that is not its own. Raises as `verify`.
        """
        found = None
        for kind in self._kinds.get(credential.scheme, ()):
            found = await kind.authenticate(credential.token, tenant=tenant, patience=patience)
            if found is not None:
                break
        if found is None:
            raise MissingToken(Refusal("credentials", "unknown_kind", expected="a kind of token that is accepted here"))
        if found.epoch != found.realm.epoch:
            # Suspended, moved or purged while this kind waited for something: the registry of its end decides.
            return await self.authenticate(credential, tenant=tenant, patience=patience)
        if found.confirmation is not None and found.check is None:
            refusal = Refusal("confirmation", "sender_constrained", expected="no cnf", found="cnf")
            raise InvalidToken(_of(found, refusal=refusal))
        return found


def _check(found: Authenticated, *, check: RequestCheck, credential: Credential) -> None:
    """Run what belongs to the request; the operator is told whose token it refused."""
    try:
        check(credential)
    except TokenError as error:
        if error.refusal is not None and error.refusal.tenant_id is None:
            error.refusal = _of(found, refusal=error.refusal)
        raise


def _of(found: Authenticated, *, refusal: Refusal) -> Refusal:
    tenant = found.realm.tenant
    return refusal._replace(tenant_slug=tenant.slug, tenant_id=tenant.id)
