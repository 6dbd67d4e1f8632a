"""How registry rows look in JSON (the same shape as the API's answers) and in tables. Reads nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from tenants_api.cli.output import print_table
from tenants_api.onboarding import Report
from tenants_api.registry.models import AuditEvent, Realm, RealmCondition, Tenant
from tenants_api.registry.values import ConditionValue, Health, Page

T = TypeVar("T")

# Worst first: a tenant is as healthy as its worst realm in service.
_WORST_FIRST = (Health.FAILING, Health.DEGRADED, Health.UNKNOWN, Health.HEALTHY)


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given; what is left out takes the callee's default."""
    return {name: value for name, value in fields.items() if value is not None}


def page(found: Page[T], *, shape: Callable[[T], Any]) -> dict[str, Any]:
    """A page of a keyset list."""
    return {
        "data": [shape(item) for item in found.items],
        "list_metadata": {"after": found.after, "before": found.before},
    }


def health(tenant: Tenant) -> str:
    """The worst health of the tenant's enabled realms."""
    held = {realm.health for realm in tenant.realms if realm.enabled}
    return next((str(value) for value in _WORST_FIRST if value in held), Health.UNKNOWN)


def is_ready(realm: Realm) -> bool:
    """Whether the last checks of the realm ended well."""
    return any(condition.type == "Ready" and condition.status == "True" for condition in realm.conditions)


def tenant(row: Tenant) -> dict[str, Any]:
    """A tenant with its realms."""
    return {
        "id": str(row.id),
        "slug": row.slug,
        "name": row.name,
        "external_id": row.external_id,
        "state": row.state,
        "health": health(row),
        "conditions": [condition(c) for realm in row.realms for c in realm.conditions],
        "realms": [realm(r) for r in row.realms],
        "role_mapping": [{"from": rule.source, "value": rule.value, "role": rule.role} for rule in row.role_rules],
        "metadata": row.metadata_,
        "version": row.version,
        "created_at": time(row.created_at),
        "updated_at": time(row.updated_at),
    }


def realm(row: Realm) -> dict[str, Any]:
    """A realm with its conditions."""
    return {
        "id": str(row.id),
        "issuer": row.issuer,
        "realm_url": row.realm_url,
        "organization": row.organization or None,
        "client_id": row.client_id,
        "audiences": list(row.audiences),
        "authorized_parties": list(row.authorized_parties),
        "algorithms": list(row.algorithms),
        "login_client_id": row.login_client_id,
        "docs_client_id": row.docs_client_id,
        "ca_bundle": row.ca_bundle,
        "enabled": row.enabled,
        "health": row.health,
        "conditions": [condition(c) for c in row.conditions],
        "version": row.version,
    }


def condition(row: RealmCondition | ConditionValue) -> dict[str, Any]:
    """One named check; a value that is not stored has no time."""
    shape = {"type": row.type, "status": row.status, "reason": row.reason, "message": row.message}
    if isinstance(row, RealmCondition):
        shape["last_transition_time"] = time(row.last_transition_time) or ""
    return shape


def report(found: Report) -> dict[str, Any]:
    """The outcome of a check that stores nothing."""
    return {
        "ready": found.ready,
        "suggested_issuer": found.suggested_issuer,
        "conditions": [condition(c) for c in found.conditions],
    }


def event(row: AuditEvent) -> dict[str, Any]:
    """One entry of the audit trail."""
    return {
        "id": str(row.id),
        "action": row.action,
        "occurred_at": time(row.occurred_at),
        "actor": {"type": row.actor_type, "id": row.actor_id},
        "target": {"type": row.target_type, "id": row.target_id},
        "request_id": row.request_id,
        "changes": row.changes,
        "reason": row.reason,
    }


def time(value: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return value.isoformat().replace("+00:00", "Z") if value else None


def print_realms(realms: Iterable[Realm]) -> None:
    """Each realm's conditions in one table."""
    rows = [(realm.issuer, *_condition_row(c)) for realm in realms for c in realm.conditions]
    if rows:
        print_table(("realm", "condition", "status", "reason", "message"), rows)


def print_conditions(conditions: Iterable[RealmCondition | ConditionValue]) -> None:
    """One realm's conditions."""
    print_table(("condition", "status", "reason", "message"), [_condition_row(c) for c in conditions])


def _condition_row(condition: RealmCondition | ConditionValue) -> tuple[str, str, str, str]:
    return (condition.type, condition.status, condition.reason, condition.message)
