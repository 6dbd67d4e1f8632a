"""The explicit changes of a tenant's state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Response

from tenants_api.api.admin.paths import IfMatch, Ref
from tenants_api.control.commands import Commands
from tenants_api.errors import EtagMismatch, ValidationFailed
from tenants_api.registry.errors import InvalidStateTransition, RealmNotReady, TenantNotFound
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Change, Transition
from tenants_api.schemas.tenants import Reason, TenantOut, tenant_out
from tenants_api.web.current_admin import Writer
from tenants_api.web.dependencies import CommandsDep
from tenants_api.web.preconditions import AdminRoute, etag, parse_if_match
from tenants_api.web.problems import problem_responses

router = APIRouter(
    prefix="/v1/tenants/{ref}",
    tags=["tenants"],
    route_class=AdminRoute,
    responses=problem_responses(TenantNotFound, InvalidStateTransition, EtagMismatch, ValidationFailed),
)


@dataclass(frozen=True, slots=True)
class DesiredTenant:
    """A change of state as it was asked for: of which tenant, which version of it, by whom and why."""

    ref: str
    if_match: int | None
    change: Change
    commands: Commands
    response: Response

    async def move(self, transition: Transition) -> TenantOut:
        """Make the transition and answer with the tenant as it is then."""
        return self.answer(await self.commands.move(self.ref, transition, if_match=self.if_match, change=self.change))

    def answer(self, row: Tenant) -> TenantOut:
        self.response.headers["ETag"] = etag(row)
        return tenant_out(row)


async def _wanted(
    ref: Ref,
    response: Response,
    caller: Writer,
    commands: CommandsDep,
    body: Reason | None = None,
    if_match: IfMatch = None,
) -> DesiredTenant:
    change = caller.change(body.reason if body is not None else None)
    return DesiredTenant(ref, parse_if_match(if_match), change, commands, response)


WantedDep = Annotated[DesiredTenant, Depends(_wanted)]


@router.post("/activate", response_model=TenantOut, responses=problem_responses(RealmNotReady))
async def activate_tenant(wanted: WantedDep) -> TenantOut:
    """Check the realms of a draft and let its tokens in; 422 with the report when a check fails."""
    return wanted.answer(await wanted.commands.activate(wanted.ref, if_match=wanted.if_match, change=wanted.change))


@router.post("/suspend", response_model=TenantOut)
async def suspend_tenant(wanted: WantedDep) -> TenantOut:
    """Refuse the tenant's tokens on every worker, cached ones included."""
    return await wanted.move(Transition.SUSPEND)


@router.post("/resume", response_model=TenantOut)
async def resume_tenant(wanted: WantedDep) -> TenantOut:
    """Let a suspended tenant's tokens in again."""
    return await wanted.move(Transition.RESUME)


@router.post("/restore", response_model=TenantOut)
async def restore_tenant(wanted: WantedDep) -> TenantOut:
    """Take a deleted tenant back; it comes back suspended."""
    return await wanted.move(Transition.RESTORE)


@router.post("/purge", response_model=TenantOut)
async def purge_tenant(wanted: WantedDep) -> TenantOut:
    """Remove a deleted tenant for good; its slug and issuers are free again. The answer is what it was."""
    return tenant_out(await wanted.commands.purge(wanted.ref, change=wanted.change))
