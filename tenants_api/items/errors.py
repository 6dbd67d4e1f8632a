"""What the sample resource refuses."""

from __future__ import annotations

from tenants_api.errors import ApiError


class ItemNotFound(ApiError):
    status = 404
    code = "item_not_found"
    title = "No such item"
    cause = "Your tenant has no item with this id; another tenant's item looks exactly the same."
    cure = "List your items with GET /v1/items."
