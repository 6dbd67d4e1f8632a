"""A tenant's role mapping, and a preview of it."""

from __future__ import annotations

from fastapi import APIRouter, Response
from pydantic import Field

from tenants_api.api.admin.paths import IfMatch, Ref
from tenants_api.control.drafts import RolePreview, preview_roles
from tenants_api.errors import EtagMismatch, ValidationFailed
from tenants_api.registry import repository
from tenants_api.registry.errors import TenantNotFound
from tenants_api.registry.models import Tenant
from tenants_api.schemas.base import Claims, RequestModel, ResponseModel
from tenants_api.schemas.tenants import RuleOut, Rules, to_rules
from tenants_api.web.current_admin import Reader, Writer
from tenants_api.web.dependencies import CommandsDep, ReadSession, ServicesDep
from tenants_api.web.preconditions import AdminRoute, etag, parse_if_match
from tenants_api.web.problems import problem_responses

router = APIRouter(
    prefix="/v1/tenants/{ref}/role-mapping",
    tags=["roles"],
    route_class=AdminRoute,
    responses=problem_responses(TenantNotFound),
)


class PreviewIn(RequestModel):
    """Claims as in an access token."""

    claims: Claims = Field(examples=[{"realm_access": {"roles": ["orders-editors"]}}])


class Preview(ResponseModel):
    """The roles that the claims give, and the rules that matched."""

    roles: list[str]
    matched: list[RuleOut]


@router.get("", response_model=list[RuleOut])
async def get_role_mapping(ref: Ref, response: Response, caller: Reader, session: ReadSession) -> list[RuleOut]:
    """The mapping; if it is empty, client roles with the names of application roles grant these."""
    return _answer(await repository.get_tenant(session, ref=ref), response=response)


@router.put("", response_model=list[RuleOut], responses=problem_responses(EtagMismatch, ValidationFailed))
async def put_role_mapping(
    ref: Ref,
    mapping: Rules,
    response: Response,
    caller: Writer,
    commands: CommandsDep,
    if_match: IfMatch = None,
) -> list[RuleOut]:
    """Replace the mapping; it applies to the next request of every token, cached ones included."""
    rules = to_rules(mapping, roles=commands.vocabulary.roles, prefix="")
    row = await commands.set_role_mapping(ref, rules, if_match=parse_if_match(if_match), change=caller.change())
    return _answer(row, response=response)


@router.post("/preview", response_model=Preview, responses=problem_responses(ValidationFailed))
async def preview_role_mapping(
    ref: Ref, body: PreviewIn, caller: Reader, session: ReadSession, services: ServicesDep
) -> RolePreview:
    """The roles that these claims give; stores nothing."""
    tenant = await repository.get_tenant(session, ref=ref)
    return preview_roles(tenant, claims=body.claims, model=services.roles)


def _answer(row: Tenant, *, response: Response) -> list[RuleOut]:
    response.headers["ETag"] = etag(row)
    return [RuleOut.model_validate(rule) for rule in row.role_rules]
