"""Changes of a tenant's state."""

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
class TransitionRequest:
    """A requested change of state: tenant, expected version, caller and reason."""

    ref: str
    if_match: int | None
    change: Change
    commands: Commands
    response: Response

    async def move(self, transition: Transition) -> TenantOut:
        """Make the transition; the response is the changed tenant."""
        return self.answer(await self.commands.move(self.ref, transition, if_match=self.if_match, change=self.change))

    def answer(self, row: Tenant) -> TenantOut:
        self.response.headers["ETag"] = etag(row)
        return tenant_out(row)


async def _transition_request(
    ref: Ref,
    response: Response,
    caller: Writer,
    commands: CommandsDep,
    body: Reason | None = None,
    if_match: IfMatch = None,
) -> TransitionRequest:
    change = caller.change(body.reason if body is not None else None)
    return TransitionRequest(ref, parse_if_match(if_match), change, commands, response)


TransitionDep = Annotated[TransitionRequest, Depends(_transition_request)]


@router.post("/activate", response_model=TenantOut, responses=problem_responses(RealmNotReady))
async def activate_tenant(request: TransitionDep) -> TenantOut:
    """Check the realms of a draft and activate it; 422 with the report if a check fails."""
    return request.answer(
        await request.commands.activate(request.ref, if_match=request.if_match, change=request.change)
    )


@router.post("/suspend", response_model=TenantOut)
async def suspend_tenant(request: TransitionDep) -> TenantOut:
    """Refuse the tenant's tokens on every worker, cached ones included."""
    return await request.move(Transition.SUSPEND)


@router.post("/resume", response_model=TenantOut)
async def resume_tenant(request: TransitionDep) -> TenantOut:
    """Accept the tokens of a suspended tenant again."""
    return await request.move(Transition.RESUME)


@router.post("/restore", response_model=TenantOut)
async def restore_tenant(request: TransitionDep) -> TenantOut:
    """Restore a deleted tenant; its state is then `suspended`."""
    return await request.move(Transition.RESTORE)


@router.post("/purge", response_model=TenantOut)
async def purge_tenant(request: TransitionDep) -> TenantOut:
    """Remove a deleted tenant for good; its slug and issuers are free again. The response is its last state."""
    return tenant_out(await request.commands.purge(request.ref, change=request.change))
