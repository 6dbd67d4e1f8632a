"""For tests of applications that use tenants-api: a principal without a token, a registry without a server.

`as_principal(app, roles=["editor"])` replaces authentication. To test it too (token, keys, registry, refusals), use the
fixtures of `tenants_api.devkit.plugin`, which pytest loads: development realms, and settings with a registry in memory
that has them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenants_api.devkit.applications import as_principal, memory_registry
    from tenants_api.devkit.realms import serve_dev_realms

__all__ = ["as_principal", "memory_registry", "serve_dev_realms"]

_HOMES = {
    "as_principal": "tenants_api.devkit.applications",
    "memory_registry": "tenants_api.devkit.applications",
    "serve_dev_realms": "tenants_api.devkit.realms",
}


def __getattr__(name: str) -> Any:
    # Imported at the first use, because pytest loads the plugin in every project.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
