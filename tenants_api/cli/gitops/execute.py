"""Does what the plan says, one transaction a tenant: each is wholly as the file has it, or as it was.

Ended in the middle, the same command goes on: what is done is `unchanged` in its plan.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.cli.gitops.documents import Vocabulary, read_document
from tenants_api.cli.gitops.workbench import Step, Workbench
from tenants_api.cli.options import BulkActivation
from tenants_api.errors import ApiError
from tenants_api.onboarding.onboard import Activation
from tenants_api.registry import service
from tenants_api.registry.creation import create
from tenants_api.registry.errors import ExternalIdTaken, IssuerTaken, RealmNotReady, SlugTaken
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Change, TenantDraft, TenantState, Transition
from tenants_api.strict_json import parse_json
from tenants_api.wiring import Services

ORDER = ("delete", "update", "create")  # who lets go of a name comes before who takes it
_TAKEN = (SlugTaken, ExternalIdTaken, IssuerTaken)


@dataclass(frozen=True, slots=True)
class Done:
    """One step that was tried: `failure` says why it could not be done; `waiting` is a draft whose checks failed."""

    step: Step
    failure: ApiError | None = None
    waiting: bool = False


class Executor:
    """Applies steps with the services of the API."""

    def __init__(self, services: Services, *, vocabulary: Vocabulary, activate: BulkActivation, change: Change) -> None:
        self._services, self._vocabulary = services, vocabulary
        self._activate, self._change = activate, change

    async def apply(self, bench: Workbench) -> AsyncIterator[Done]:
        """Go through all steps. What is refused is told and does not keep the others.

        Raises:
            SQLAlchemyError: the database failed; what was told as done is committed.
        """
        turn = 0
        while True:
            waiting, moved = 0, False
            for step in bench.due(ORDER, turn=turn):
                done = await self._try(step)
                if isinstance(done.failure, _TAKEN):
                    bench.wait(step, turn=turn + 1)
                    waiting += 1
                else:
                    moved = True
                    yield done
            turn += 1
            if not waiting:
                return
            if not moved:  # nobody is left who could let go of a name
                break
        for step in bench.due(ORDER, turn=turn):
            yield await self._try(step)

    async def _try(self, step: Step) -> Done:
        try:
            tenant = await self._apply(step)
        except ApiError as refused:
            return Done(step, failure=refused)
        return Done(step, waiting=tenant.state == TenantState.DRAFT and step.goal == TenantState.ACTIVE)

    async def _apply(self, step: Step) -> Tenant:
        if step.action == "delete":
            return await self._delete(step)
        draft = read_document(parse_json(step.document.encode()), vocabulary=self._vocabulary).draft
        return await (self._create(step, draft) if step.action == "create" else self._update(step, draft))

    async def _delete(self, step: Step) -> Tenant:
        async with self._services.database.begin() as session:
            return await service.move(
                session, ref=str(step.tenant_id), transition=Transition.DELETE, if_match=step.version,
                change=self._change,
            )  # fmt: skip

    async def _create(self, step: Step, draft: TenantDraft) -> Tenant:
        if step.goal == TenantState.ACTIVE and self._asks_realms:
            activation: Activation = "now" if self._activate is BulkActivation.NOW else "when_ready"
            return await self._services.onboarding.onboard(draft, activate=activation, change=self._change)
        async with self._services.database.begin() as session:
            ways = _WAYS.get((TenantState.DRAFT, str(step.goal)), ())
            return await create(session, draft=draft, change=self._change, transitions=ways)

    async def _update(self, step: Step, draft: TenantDraft) -> Tenant:
        ref = str(step.tenant_id)
        if self._asks_realms and self._activate is BulkActivation.NOW and step.goal == TenantState.ACTIVE:
            async with self._services.database.read() as session:
                state = (await service.get_tenant(session, ref=ref)).state
            if state == TenantState.DRAFT:
                return await self._services.onboarding.replace_now(
                    ref, draft, if_match=step.version, change=self._change
                )
        async with self._services.database.begin() as session:
            if set(step.changes) - {"state"}:
                tenant = await service.replace_tenant(
                    session, ref=ref, draft=draft, if_match=step.version, change=self._change
                )
            else:
                tenant = await service.get_tenant(session, ref=ref)
            waits = tenant.state == TenantState.DRAFT and step.goal == TenantState.ACTIVE and self._asks_realms
            if not waits:
                tenant = await self._move(session, tenant, goal=str(step.goal))
        if not waits and not ("realms" in step.changes and self._asks_realms):
            return tenant
        return await self._services.onboarding.check_after(tenant, change=self._change, activate=waits)

    async def _move(self, session: AsyncSession, tenant: Tenant, *, goal: str) -> Tenant:
        """The transitions from the tenant's state to the goal, in this transaction: none of them is seen alone."""
        for transition in _WAYS.get((tenant.state, goal), ()):
            tenant = await service.move(session, ref=str(tenant.id), transition=transition, change=self._change)
        return tenant

    @property
    def _asks_realms(self) -> bool:
        return self._activate in (BulkActivation.WHEN_READY, BulkActivation.NOW)


_WAYS: dict[tuple[str, str], tuple[Transition, ...]] = {
    ("draft", "active"): (Transition.ACTIVATE,),
    ("draft", "suspended"): (Transition.ACTIVATE, Transition.SUSPEND),
    ("active", "suspended"): (Transition.SUSPEND,),
    ("suspended", "active"): (Transition.RESUME,),
}


def is_check_failure(done: Done) -> bool:
    """Whether a realm's checks are what kept the tenant from what the file wants."""
    return done.waiting or isinstance(done.failure, RealmNotReady)
