"""One tenant as a document of a file, and its one canonical line: what compares equal there is the same tenant.

Ids, versions, times, health, conditions and keys are left out: they are this database's own or are observed again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from tenants_api.api.admin.fields import ExternalId, Metadata, Name, Slug
from tenants_api.api.admin.wire import RealmIn, Rules, to_drafts, to_rules
from tenants_api.api.wire import WireIn
from tenants_api.cli.drafts import checked
from tenants_api.errors import FieldError, ValidationFailed
from tenants_api.keycloak.targets import TargetPolicy
from tenants_api.keycloak.urls import lower_host
from tenants_api.registry.models import Tenant
from tenants_api.registry.rows import registered_draft
from tenants_api.registry.values import RealmDraft, Rule, TenantDraft

State = Literal["draft", "active", "suspended"]


class TenantDocument(WireIn):
    """A tenant in a file; `state` is left alone where it is left out."""

    slug: Slug
    name: Name
    external_id: ExternalId | None = None
    state: State | None = None
    realms: list[RealmIn] = Field(default=[], max_length=20)
    role_mapping: Rules = Field(default=[])
    metadata: Metadata = Field(default={})
    resource_metadata: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a file wants of one tenant."""

    draft: TenantDraft
    state: str | None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a document is checked against: where realms may be, and the roles of this application."""

    policy: TargetPolicy
    roles: frozenset[str]


def read_document(value: Any, *, vocabulary: Vocabulary) -> Wanted:
    """Check a document. Raises ValidationFailed with a pointer to each wrong member."""
    if not isinstance(value, dict):
        raise ValidationFailed(errors=[FieldError("", "a document must be one tenant: an object")])
    body = checked(TenantDocument, value)
    draft = TenantDraft(
        slug=body.slug,
        name=body.name,
        external_id=body.external_id,
        realms=to_drafts(body.realms, policy=vocabulary.policy),
        role_mapping=to_rules(body.role_mapping, roles=vocabulary.roles),
        metadata=body.metadata,
        resource_metadata=body.resource_metadata,
    )
    return Wanted(draft, body.state)


def document(draft: TenantDraft, *, state: str | None = None) -> dict[str, Any]:
    """The shortest document that says the same: defaults are left out, realms stand in order of their issuers."""
    realms = sorted(draft.realms, key=lambda realm: (realm.issuer, realm.organization or ""))
    whole = {
        "slug": draft.slug,
        "name": draft.name,
        "external_id": draft.external_id,
        "state": state,
        "realms": [_realm(realm) for realm in realms],
        "role_mapping": [{"from": rule.source, "value": rule.value, "role": rule.role} for rule in draft.role_mapping],
        "metadata": _sorted(draft.metadata),
        "resource_metadata": draft.resource_metadata or None,
    }
    return {name: value for name, value in whole.items() if value not in (None, [], {})}


def line(value: Any) -> str:
    """Canonical JSON on one line. Compared as text, for Python calls 1, 1.0 and true equal."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def draft_of(tenant: Tenant) -> TenantDraft:
    """What the registry holds, as a draft; its realms and rules must be loaded."""
    return TenantDraft(
        slug=tenant.slug,
        name=tenant.name,
        external_id=tenant.external_id,
        realms=tuple(registered_draft(realm) for realm in tenant.realms),
        role_mapping=tuple(Rule(rule.source, rule.value, rule.role) for rule in tenant.role_rules),
        metadata=tenant.metadata_,
        resource_metadata=tenant.resource_metadata,
    )


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The members that differ between two canonical documents."""
    names = dict.fromkeys([*after, *before])
    return [name for name in names if line(before.get(name)) != line(after.get(name))]


def _realm(realm: RealmDraft) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "issuer": realm.issuer,
        "realm_url": None if realm.realm_url == lower_host(realm.issuer) else realm.realm_url,
        "organization": realm.organization or None,
        "client_id": realm.client_id,
        "audiences": None if realm.audiences == (realm.client_id,) else list(realm.audiences),
        "authorized_parties": list(realm.authorized_parties) or None,
        "algorithms": None if realm.algorithms == ("RS256",) else list(realm.algorithms),
        "login_client_id": realm.login_client_id,
        "docs_client_id": realm.docs_client_id,
        "ca_bundle": realm.ca_bundle,
        "enabled": None if realm.enabled else False,
        "issuer_check": None if realm.issuer_check == "discovery" else realm.issuer_check,
    }
    return {name: value for name, value in whole.items() if value is not None}


def _sorted(value: Any) -> Any:
    """Objects by name, at every depth: the order of members means nothing in JSON."""
    if isinstance(value, Mapping):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(part) for part in value] if isinstance(value, list) else value
