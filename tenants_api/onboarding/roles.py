"""What a tenant's role mapping makes of some claims, as the verifier would: the preview of every edge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tenants_api.registry.models import Tenant
from tenants_api.registry.rows import rules_of
from tenants_api.role_rules import RoleRule
from tenants_api.verification.roles import RoleModel, default_rules, matching_rules


@dataclass(frozen=True, slots=True)
class RolePreview:
    """The roles that the claims give, without those that they include, and the rules that gave them."""

    roles: tuple[str, ...]
    matched: tuple[RoleRule, ...]


def preview_roles(tenant: Tenant, *, claims: Mapping[str, Any], model: RoleModel) -> RolePreview:
    """The roles of a token with these claims; its realms and rules must be loaded.

    Without a mapping the default rules of the realm apply whose issuer is `iss`, of all realms where there is none.
    """
    rules = rules_of(tenant)
    if not rules:
        named = [realm for realm in tenant.realms if realm.issuer == claims.get("iss")]
        clients = dict.fromkeys(realm.client_id for realm in named or tenant.realms)
        rules = tuple(rule for client_id in clients for rule in default_rules(client_id, names=model.names))
    matched = matching_rules(claims, rules=rules)
    return RolePreview(tuple(sorted({rule.role for rule in matched} & model.names)), matched)
