"""Which scopes a request gets, and which organizations they put into the token. Knows no HTTP."""

from __future__ import annotations

from typing import Final

from tenants_api.devrealms.people import DevUser
from tenants_api.devrealms.refusals import Refused

_OPTIONAL: Final = {"openid", "profile", "email", "offline_access", "phone", "address", "microprofile-jwt", "roles"}
_DEFAULT: Final = ("profile", "email")
_HIDDEN: Final = ("roles", "basic", "web-origins", "acr")
_ORGANIZATION: Final = "organization"


def granted_scope(requested: str, *, user: DevUser) -> str:
    """`openid` if asked for, the client's default scopes, and the organization scope in the form that was asked for.

    Raises `Refused` (400 `invalid_scope`) for an unknown scope or an organization that the user is no member of.
    """
    asked = requested.split()
    organizations = [scope for scope in asked if _is_organization(scope)]
    unknown = set(asked) - _OPTIONAL - set(organizations)
    foreign = [scope for scope in organizations if not _is_member(user, scope)]
    if unknown or foreign:
        raise Refused("invalid_scope", f"Invalid scopes: {requested}")
    return " ".join([*(["openid"] if "openid" in asked else []), *_DEFAULT, *organizations])


def organizations_of(user: DevUser, scope: str) -> list[str] | None:
    """The aliases for the claim; None when the scope was not asked for, or the user is in no organization."""
    asked = next((entry for entry in scope.split() if _is_organization(entry)), None)
    if asked is None or not user.organizations:
        return None
    alias = asked.partition(":")[2]
    return [alias] if alias not in ("", "*") else list(user.organizations)


def refresh_scope(scope: str) -> str:
    """A refresh token names also the scopes that an access token does not show."""
    first = ["openid"] if "openid" in scope.split() else []
    rest = [entry for entry in scope.split() if entry not in ("openid", "profile", "email")]
    return " ".join([*first, "roles", "basic", "profile", "web-origins", "acr", "email", *rest])


def shown_scope(refresh: str) -> str:
    """The scope of the access token that a refresh token's scope gives."""
    return " ".join(entry for entry in refresh.split() if entry not in _HIDDEN)


def _is_organization(scope: str) -> bool:
    return scope == _ORGANIZATION or scope.startswith(f"{_ORGANIZATION}:")


def _is_member(user: DevUser, scope: str) -> bool:
    alias = scope.partition(":")[2]
    return alias in ("", "*") or alias in user.organizations
