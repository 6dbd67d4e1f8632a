"""The admin plane: who may register, suspend and remove realms, and how."""

from tenants_api.api.admin.plane import create_admin_app

__all__ = ["create_admin_app"]
