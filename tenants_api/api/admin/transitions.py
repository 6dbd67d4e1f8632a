"""The explicit changes of a tenant's state."""

from __future__ import annotations

from fastapi import APIRouter, Response

from tenants_api.api.admin.changing import changing
from tenants_api.api.admin.guard import AdminCaller, Writer
from tenants_api.api.admin.idempotency import AdminRoute
from tenants_api.api.admin.paths import IfMatch, Ref
from tenants_api.api.admin.wire import Reason, TenantOut, tenant_out
from tenants_api.api.dependencies import ServicesDep
from tenants_api.api.problems import problem_responses
from tenants_api.api.versions import parse_if_match
from tenants_api.errors import EtagMismatch, ValidationFailed
from tenants_api.registry import service
from tenants_api.registry.errors import InvalidStateTransition, RealmNotReady, TenantNotFound
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Transition
from tenants_api.wiring import Services

router = APIRouter(
    prefix="/v1/tenants/{ref}",
    tags=["tenants"],
    route_class=AdminRoute,
    responses=problem_responses(TenantNotFound, InvalidStateTransition, EtagMismatch, ValidationFailed),
)


@router.post("/activate", response_model=TenantOut, responses=problem_responses(RealmNotReady))
async def activate_tenant(
    ref: Ref,
    response: Response,
    caller: Writer,
    services: ServicesDep,
    body: Reason | None = None,
    if_match: IfMatch = None,
) -> TenantOut:
    """Check the realms of a draft and let its tokens in; 422 with the report when a check fails."""
    change = caller.change(_reason(body))
    version = parse_if_match(if_match)
    return _answer(await services.onboarding.activate(ref, if_match=version, change=change), response=response)


@router.post("/suspend", response_model=TenantOut)
async def suspend_tenant(
    ref: Ref,
    response: Response,
    caller: Writer,
    services: ServicesDep,
    body: Reason | None = None,
    if_match: IfMatch = None,
) -> TenantOut:
    """Refuse the tenant's tokens on every worker, cached ones included."""
    row = await _move(Transition.SUSPEND, ref, caller, services, body=body, if_match=if_match)
    return _answer(row, response=response)


@router.post("/resume", response_model=TenantOut)
async def resume_tenant(
    ref: Ref,
    response: Response,
    caller: Writer,
    services: ServicesDep,
    body: Reason | None = None,
    if_match: IfMatch = None,
) -> TenantOut:
    """Let a suspended tenant's tokens in again."""
    row = await _move(Transition.RESUME, ref, caller, services, body=body, if_match=if_match)
    return _answer(row, response=response)


@router.post("/restore", response_model=TenantOut)
async def restore_tenant(
    ref: Ref,
    response: Response,
    caller: Writer,
    services: ServicesDep,
    body: Reason | None = None,
    if_match: IfMatch = None,
) -> TenantOut:
    """Take a deleted tenant back; it comes back suspended."""
    row = await _move(Transition.RESTORE, ref, caller, services, body=body, if_match=if_match)
    return _answer(row, response=response)


@router.post("/purge", response_model=TenantOut)
async def purge_tenant(ref: Ref, caller: Writer, services: ServicesDep, body: Reason | None = None) -> TenantOut:
    """Remove a deleted tenant for good; its slug and issuers are free again. The answer is what it was."""
    change = caller.change(_reason(body))
    async with changing(services) as session:
        last = tenant_out(await service.get_tenant(session, ref=ref))
        await service.purge_tenant(session, ref=ref, change=change)
    return last


async def _move(
    transition: Transition,
    ref: str,
    caller: AdminCaller,
    services: Services,
    *,
    body: Reason | None,
    if_match: str | None,
) -> Tenant:
    version, change = parse_if_match(if_match), caller.change(_reason(body))
    async with changing(services) as session:
        return await service.move(session, ref=ref, transition=transition, if_match=version, change=change)


def _reason(body: Reason | None) -> str | None:
    return body.reason if body is not None else None


def _answer(row: Tenant, *, response: Response) -> TenantOut:
    response.headers["ETag"] = service.etag(row)
    return tenant_out(row)
