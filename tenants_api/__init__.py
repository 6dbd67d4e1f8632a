"""One API that accepts the bearer tokens of many Keycloak realms.

The names of the library are imported at their first use, so that importing the package is fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenants_api.api.tenancy import Tenancy, accept_websocket, websocket_principal
    from tenants_api.app import create_app
    from tenants_api.errors import ApiError
    from tenants_api.settings import Settings
    from tenants_api.tokens.errors import (
        InsufficientRole,
        InvalidToken,
        KeysUnavailable,
        MalformedCredentials,
        MissingToken,
        TenantMismatch,
        TenantSuspended,
        TokenError,
        TokenExpired,
    )
    from tenants_api.tokens.principal import Principal, RoleModel
    from tenants_api.web.dependencies import CurrentPrincipal, principal_of, requires

__version__ = "0.2.0.dev0"
__all__ = [
    "ApiError",
    "CurrentPrincipal",
    "InsufficientRole",
    "InvalidToken",
    "KeysUnavailable",
    "MalformedCredentials",
    "MissingToken",
    "Principal",
    "RoleModel",
    "Settings",
    "Tenancy",
    "TenantMismatch",
    "TenantSuspended",
    "TokenError",
    "TokenExpired",
    "accept_websocket",
    "create_app",
    "principal_of",
    "requires",
    "websocket_principal",
]

_HOMES = {
    "ApiError": "tenants_api.errors",
    "CurrentPrincipal": "tenants_api.web.dependencies",
    "InsufficientRole": "tenants_api.tokens.errors",
    "InvalidToken": "tenants_api.tokens.errors",
    "KeysUnavailable": "tenants_api.tokens.errors",
    "MalformedCredentials": "tenants_api.tokens.errors",
    "MissingToken": "tenants_api.tokens.errors",
    "Principal": "tenants_api.tokens.principal",
    "RoleModel": "tenants_api.tokens.principal",
    "Settings": "tenants_api.settings",
    "Tenancy": "tenants_api.api.tenancy",
    "TenantMismatch": "tenants_api.tokens.errors",
    "TenantSuspended": "tenants_api.tokens.errors",
    "TokenError": "tenants_api.tokens.errors",
    "TokenExpired": "tenants_api.tokens.errors",
    "accept_websocket": "tenants_api.api.tenancy",
    "create_app": "tenants_api.app",
    "principal_of": "tenants_api.web.dependencies",
    "requires": "tenants_api.web.dependencies",
    "websocket_principal": "tenants_api.api.tenancy",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
