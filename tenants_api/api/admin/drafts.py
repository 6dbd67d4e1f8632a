"""From what an admin sent to the registry's values: every wrong field with its place in the body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from tenants_api.api.admin.fields import check_metadata, merge_patch
from tenants_api.api.admin.wire_realms import RealmIn, RealmPatch
from tenants_api.api.admin.wire_tenants import RuleIn, TenantIn, TenantPatch, TenantPut
from tenants_api.errors import FieldError, ValidationFailed
from tenants_api.onboarding import realm_draft
from tenants_api.registry.errors import IssuerTaken
from tenants_api.registry.models import Realm, Tenant
from tenants_api.registry.values import RealmDraft, Rule, TenantDraft
from tenants_api.wiring import Services


def tenant_draft(body: TenantIn | TenantPut, *, slug: str, services: Services) -> TenantDraft:
    """A whole tenant.

    Raises:
        ValidationFailed, IssuerTaken: see the functions below.
    """
    return TenantDraft(
        slug=slug,
        name=body.name,
        external_id=body.external_id,
        realms=realm_drafts(body.realms, services=services),
        role_mapping=rules(body.role_mapping, services=services, at="/role_mapping"),
        metadata=body.metadata,
    )


def realm_drafts(realms: Sequence[RealmIn], *, services: Services) -> tuple[RealmDraft, ...]:
    """Several realms of one tenant.

    Raises:
        ValidationFailed: one is not well-formed, or stands there twice.
        IssuerTaken: one is the platform realm.
    """
    found = [realm_of(realm, services=services, at=f"/realms/{place}") for place, realm in enumerate(realms)]
    names = [(draft.issuer, draft.organization) for draft in found]
    for place, name in enumerate(names):
        if name in names[:place]:
            raise ValidationFailed(errors=[FieldError(f"/realms/{place}/issuer", "the same realm stands here twice")])
    return tuple(found)


def realm_of(realm: RealmIn, *, services: Services, at: str = "") -> RealmDraft:
    """One realm. Raises as `realm_drafts`."""
    return _checked(realm.model_dump(), services=services, at=at)


def patched_realm(realm: Realm, *, patch: RealmPatch, services: Services) -> RealmDraft:
    """What a realm is after a merge patch; what followed from another field goes on following it.

    Raises as `realm_drafts`.
    """
    stored = {field.name: getattr(realm, field.name) for field in fields(RealmDraft)}
    stored["organization"] = realm.organization or None
    if realm.realm_url == realm.issuer:
        stored["realm_url"] = None
    if realm.audiences == [realm.client_id]:
        stored["audiences"] = None
    return _checked({**stored, **patch.model_dump(exclude_unset=True)}, services=services, at="")


def rules(given: Sequence[RuleIn], *, services: Services, at: str = "") -> tuple[Rule, ...]:
    """A role mapping.

    Raises:
        ValidationFailed: a rule gives a role that the application does not know.
    """
    known = services.roles.names
    wrong = [
        FieldError(f"{at}/{place}/role", f"must be one of {', '.join(sorted(known))}")
        for place, rule in enumerate(given)
        if rule.role not in known
    ]
    if wrong:
        raise ValidationFailed(errors=wrong)
    return tuple(Rule(rule.source, rule.value, rule.role) for rule in given)


def changed_fields(patch: TenantPatch, *, tenant: Tenant, services: Services) -> dict[str, Any]:
    """What a merge patch changes of a tenant.

    Raises:
        ValidationFailed: a role is unknown, or the merged metadata are too large.
    """
    changed = patch.model_dump(exclude_unset=True, include={"name", "external_id"})
    if "role_mapping" in patch.model_fields_set:
        changed["role_mapping"] = rules(patch.role_mapping or [], services=services, at="/role_mapping")
    if "metadata" in patch.model_fields_set:
        changed["metadata"] = _merged(tenant.metadata_, patch=patch.metadata)
    return changed


def _merged(stored: Mapping[str, Any], *, patch: Mapping[str, Any] | None) -> dict[str, Any]:
    merged = merge_patch(stored, patch=patch) if patch is not None else {}
    try:
        return check_metadata(merged)
    except ValueError as error:
        raise ValidationFailed(errors=[FieldError("/metadata", str(error))]) from error


def _checked(values: dict[str, Any], *, services: Services, at: str) -> RealmDraft:
    values["authorized_parties"] = values["authorized_parties"] or ()
    try:
        draft = realm_draft(**values, policy=services.policy)
    except ValidationFailed as refused:
        places = [FieldError(at + one.pointer, one.detail) for one in refused.errors]
        raise ValidationFailed(refused.detail, errors=places) from refused
    if draft.issuer == services.settings.platform_issuer:
        # The platform realm's users administer this API; a tenant must never be able to stand beside them.
        raise IssuerTaken(draft.issuer)
    return draft
