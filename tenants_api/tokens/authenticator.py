"""The protocol of a kind of token; a new kind is a new file that implements it.

An authenticator sees the token and the tenant in the path, by which the verified-token cache finds its entries. What
belongs to the request (method, URL, proof, client certificate) is seen only by the `check` that it returns. The
verifier runs that check for every request, cached or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.principal import Principal
from tenants_api.tokens.realms import TrustedRealm

# Raises TokenError. Not async: the registry cannot change between the check and the decision.
RequestCheck = Callable[[Credential], None]


class Authenticated(NamedTuple):
    """A verified token, and how long it may be served from the cache.

    It is reused until `until` (epoch seconds, and never past the principal's `expires_at`), while `epoch`, the realm's
    epoch when the authentication began, is the present one, and while the realm's keys need no renewal (unless
    `needs_keys` is False). It is valid for every path (`any_path`), or only for paths of the principal's own tenant.

    `confirmation` is the token's `cnf` (RFC 7800 section 3.1). A token that has one is refused unless `check` proves
    that the sender possesses the key.
    """

    principal: Principal
    realm: TrustedRealm
    epoch: int
    until: float
    any_path: bool = False
    needs_keys: bool = True
    confirmation: Mapping[str, Any] | None = None
    check: RequestCheck | None = None


class Authenticator(Protocol):
    """One kind of token."""

    @property
    def schemes(self) -> tuple[str, ...]:
        """The Authorization schemes of this kind of token, in their usual spelling."""

    async def authenticate(self, token: bytes, *, tenant: str | None, max_wait: float) -> Authenticated | None:
        """Verify a token; None when it is of another kind.

        `tenant` is the slug in the request's path: it chooses among the organizations that a token names, and nothing
        else. `max_wait` is how many seconds it may wait for a realm.

        Raises:
            InvalidToken, TokenExpired: the token is refused; `refusal` has the reason.
            TenantSuspended: the token is good, its tenant is suspended.
            KeysUnavailable: the realm is registered, but its keys cannot be fetched.
        """
