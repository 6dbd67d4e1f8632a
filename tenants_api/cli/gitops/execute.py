"""Does what the plan says, one transaction a tenant: each is wholly as the file has it, or as it was.

Ended in the middle, the same command goes on: what is done is `unchanged` in its plan.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tenants_api.cli.gitops.documents import read_document
from tenants_api.cli.gitops.workbench import Step, Workbench
from tenants_api.cli.options import BulkActivation
from tenants_api.errors import ApiError
from tenants_api.onboarding import Commands
from tenants_api.onboarding.commands import Activation
from tenants_api.registry.errors import ExternalIdTaken, IssuerTaken, RealmNotReady, SlugTaken
from tenants_api.registry.models import Tenant
from tenants_api.registry.values import Change, TenantState, Transition
from tenants_api.strict_json import parse_json

ORDER = ("delete", "update", "create")  # who lets go of a name comes before who takes it
_TAKEN = (SlugTaken, ExternalIdTaken, IssuerTaken)


@dataclass(frozen=True, slots=True)
class Done:
    """One step that was tried: `failure` says why it could not be done; `waiting` is a draft whose checks failed."""

    step: Step
    failure: ApiError | None = None
    waiting: bool = False


class Executor:
    """Applies steps by the commands of the API; only with `when_ready` and `now` realms are asked."""

    def __init__(self, commands: Commands, *, activate: BulkActivation, change: Change) -> None:
        asks = activate in (BulkActivation.WHEN_READY, BulkActivation.NOW)
        self._activate: Activation = activate.value if asks else "unchecked"
        self._commands, self._change = commands, change

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
            return await self._commands.move(
                str(step.tenant_id), Transition.DELETE, if_match=step.version, change=self._change
            )
        wanted = read_document(parse_json(step.document.encode()), vocabulary=self._commands.vocabulary)
        goal = TenantState(str(step.goal))
        if step.action == "create":
            activate = self._activate if goal == TenantState.ACTIVE else "unchecked"
            return await self._commands.create(wanted.draft, activate=activate, state=goal, change=self._change)
        tenant, _ = await self._commands.make(
            str(step.tenant_id), wanted.draft, activate=self._activate, state=goal, if_match=step.version,
            change=self._change,
        )  # fmt: skip
        return tenant


def is_check_failure(done: Done) -> bool:
    """Whether a realm's checks are what kept the tenant from what the file wants."""
    return done.waiting or isinstance(done.failure, RealmNotReady)
