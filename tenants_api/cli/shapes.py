"""Registry rows as JSON, in the API's format, and as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any, TypeVar

import typer

from tenants_api.cli.output import print_record, print_table, rfc3339
from tenants_api.control.checks import Report
from tenants_api.database.pagination import Page
from tenants_api.registry.models import AuditEvent, Realm, RealmCondition, Tenant
from tenants_api.registry.values import ConditionValue
from tenants_api.role_rules import RoleRule
from tenants_api.schemas.tenants import RealmOut, RuleOut, tenant_out

T = TypeVar("T")


def page(found: Page[T], *, shape: Callable[[T], Any]) -> dict[str, Any]:
    """A page of a keyset list."""
    return {
        "data": [shape(item) for item in found.items],
        "list_metadata": {"after": found.after, "before": found.before},
    }


def is_ready(realm: Realm) -> bool:
    """Whether the realm's condition `Ready` is True."""
    return any(condition.type == "Ready" and condition.status == "True" for condition in realm.conditions)


def tenant(row: Tenant) -> dict[str, Any]:
    """A tenant with its realms."""
    return tenant_out(row).model_dump(mode="json", by_alias=True)


def health(row: Tenant) -> list[str]:
    """A tenant's health, and the conditions of its realms that are False."""
    failed = {one.type for realm in row.realms for one in realm.conditions if one.status == "False"} - {"Ready"}
    return [tenant_out(row).health, *(f"{name} False" for name in sorted(failed))]


def realm(row: Realm) -> dict[str, Any]:
    """A realm with its conditions."""
    return RealmOut.model_validate(row).model_dump(mode="json")


def rule(value: RoleRule) -> dict[str, Any]:
    """One rule of a role mapping."""
    return RuleOut.model_validate(value).model_dump(mode="json", by_alias=True)


def report(found: Report) -> dict[str, Any]:
    """The report of a check."""
    return {
        "ready": found.ready,
        "suggested_issuer": found.suggested_issuer,
        "conditions": [asdict(condition) for condition in found.conditions],
    }


def event(row: AuditEvent, *, tenant: str | None) -> dict[str, Any]:
    """An entry of the audit log."""
    return {
        "id": str(row.id),
        "action": row.action,
        "occurred_at": time(row.occurred_at),
        "actor": {"type": row.actor_type, "id": row.actor_id},
        "target": {"type": row.target_type, "id": row.target_id},
        "tenant": tenant,
        "request_id": row.request_id,
        "changes": row.changes,
        "reason": row.reason,
    }


def time(value: datetime | None) -> str | None:
    """RFC 3339 in UTC."""
    return rfc3339(value) if value else None


def print_realms(realms: Iterable[Realm]) -> None:
    """Print each realm with its number and its conditions."""
    for number, realm in enumerate(realms, 1):
        typer.echo("")
        print_record(
            {
                "realm": number,
                "issuer": realm.issuer,
                "organization": realm.organization,
                "id": realm.id,
                "health": realm.health if realm.enabled else "disabled",
            }
        )
        if realm.conditions:
            print_conditions(realm.conditions)


def print_conditions(conditions: Iterable[RealmCondition | ConditionValue]) -> None:
    """Print the conditions of a realm."""
    print_table(
        ("condition", "status", "message"), [(c.type, c.status, f"{c.reason}: {c.message}") for c in conditions]
    )
