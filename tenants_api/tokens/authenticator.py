"""What a kind of token has to give: one small protocol, so that a new kind is a new file.

An authenticator sees the token and the tenant in the path: all that the cache of verified tokens goes by. What
belongs to the request (method, URL, proof, client certificate) is seen by the `check` alone that it returns, and that
is run for every request, cached or not. So no cached answer can stand for a check of the request.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from tenants_api.tokens.credentials import Credential
from tenants_api.tokens.principal import Principal
from tenants_api.tokens.realms import TrustedRealm

# Raises TokenError. It waits for nothing: what decides is the registry of this very moment.
RequestCheck = Callable[[Credential], None]


class Authenticated(NamedTuple):
    """A token that is good, and when this may be used again without asking its authenticator.

    It is used again until `until` (epoch seconds, and never past the principal's `expires_at`), while the realm's epoch
    is `epoch`, the realm's when the authentication began, and while the realm's keys need no renewal (unless
    `needs_keys` is False). It is used for every path (`any_path`), or for paths of the principal's own tenant alone.

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
        """The schemes of the Authorization header that such a token comes with, in their usual spelling."""

    async def authenticate(self, token: bytes, *, tenant: str | None, patience: float) -> Authenticated | None:
        """What is known of a token; None when it is of another kind.

        `tenant` is the slug in the request's path: it chooses among the organizations that a token names, and nothing
        else. `patience` is the seconds that may be waited for a realm.

        Raises:
            InvalidToken, TokenExpired: the token is refused; `refusal` says why.
            TenantSuspended: the token is good, its tenant is suspended.
            KeysUnavailable: the realm is registered, and cannot be asked.
        """
