"""A tenant as a document in a file, and its canonical line, by which tenants are compared.

Ids, versions, times, health, conditions and keys are left out: they belong to one database, or are observed again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tenants_api.cli.drafts import checked
from tenants_api.control.drafts import Vocabulary, members_of
from tenants_api.errors import FieldError, ValidationFailed
from tenants_api.registry.values import TenantDraft
from tenants_api.schemas.tenants import TenantFields, tenant_draft

State = Literal["draft", "active", "suspended"]


class TenantDocument(TenantFields):
    """A tenant in a file; without `state` the present state stays."""

    state: State | None = None


@dataclass(frozen=True, slots=True)
class DesiredTenant:
    """The desired tenant of a document."""

    draft: TenantDraft
    state: str | None


def read_document(value: Any, *, vocabulary: Vocabulary) -> DesiredTenant:
    """Check a document. Raises ValidationFailed with a pointer to each wrong member."""
    if not isinstance(value, dict):
        raise ValidationFailed(errors=[FieldError("", f"expected a tenant (an object), found {type(value).__name__}")])
    body = checked(TenantDocument, value)
    return DesiredTenant(tenant_draft(body, vocabulary=vocabulary), body.state)


def document(draft: TenantDraft, *, state: str | None = None) -> dict[str, Any]:
    """The canonical document: without defaults, realms in the order of their issuers."""
    realms = sorted(draft.realms, key=lambda realm: (realm.issuer, realm.organization or ""))
    whole = {
        "slug": draft.slug,
        "name": draft.name,
        "external_id": draft.external_id,
        "state": state,
        "realms": [members_of(realm) for realm in realms],
        "role_mapping": [{"from": rule.source, "value": rule.value, "role": rule.role} for rule in draft.role_mapping],
        "metadata": _sorted(draft.metadata),
        "resource_metadata": draft.resource_metadata or None,
    }
    return {name: value for name, value in whole.items() if value not in (None, [], {})}


def line(value: Any) -> str:
    """Canonical JSON on one line. Compared as text, because 1, 1.0 and true are equal in Python."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The members that differ between two canonical documents."""
    names = dict.fromkeys([*after, *before])
    return [name for name in names if line(before.get(name)) != line(after.get(name))]


def _sorted(value: Any) -> Any:
    """Sort members by name at every depth: their order has no meaning in JSON."""
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(part) for part in value] if isinstance(value, list) else value
