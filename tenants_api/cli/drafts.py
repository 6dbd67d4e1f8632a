"""Convert options of commands to drafts, with the schemas of the API's bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from tenants_api.control.drafts import Vocabulary
from tenants_api.errors import FieldError, ValidationFailed, without_prefix
from tenants_api.registry.values import RealmDraft, TenantDraft
from tenants_api.schemas import tenants as schemas
from tenants_api.schemas.tenants import RealmIn, RuleIn, TenantFields, TenantPatch, to_draft, to_rules

M = TypeVar("M", bound=BaseModel)


def tenant_draft(fields: Mapping[str, Any], *, vocabulary: Vocabulary) -> TenantDraft:
    """The draft of a new tenant; None means not given, also in its realms. Raises ValidationFailed."""
    realms = [_given(realm) for realm in fields["realms"]]
    body = checked(TenantFields, {**_given(fields), "realms": realms})
    return schemas.tenant_draft(body, vocabulary=vocabulary)


def realm_draft(fields: Mapping[str, Any], *, vocabulary: Vocabulary) -> RealmDraft:
    """The draft of a realm; None means not given. Raises ValidationFailed."""
    return to_draft(checked(RealmIn, _given(fields)), policy=vocabulary.policy)


def changed_fields(fields: Mapping[str, Any], *, vocabulary: Vocabulary) -> dict[str, Any]:
    """The fields of a tenant that were given. Raises ValidationFailed."""
    body = checked(TenantPatch, _given(fields))
    changed = {name: getattr(body, name) for name in body.model_fields_set}
    if "role_mapping" in changed:
        rules: Sequence[RuleIn] = changed["role_mapping"]
        changed["role_mapping"] = to_rules(rules, roles=vocabulary.roles)
    return changed


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def checked(model: type[M], fields: Mapping[str, Any]) -> M:
    """Validate fields by a schema. Raises ValidationFailed with a pointer to each wrong one."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        wrong = [
            FieldError("/" + "/".join(str(part) for part in one["loc"]), without_prefix(one["msg"])) for one in found
        ]
        raise ValidationFailed("a value is not valid", errors=wrong) from error
