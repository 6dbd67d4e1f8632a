"""The commands that change tenants, realms, role mappings and admin keys; every edge calls these.

A command writes rows, audit entry and registry version in one transaction of the runner. Onboarding takes two: the
tenant is reserved and committed; its realms are checked with no transaction open; then conditions, first keys and
activation are committed together. A crash or a failed check leaves a `draft` with its conditions.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.clocks import Clocks
from tenants_api.control import admin_keys, service
from tenants_api.control.drafts import Vocabulary, members_of, realm_draft
from tenants_api.control.realm_checks import RealmChecks, Reports, all_ready, enabled, not_ready
from tenants_api.control.recording import create
from tenants_api.control.runner import Runner, after_commit
from tenants_api.errors import EtagMismatch, FieldError, ValidationFailed
from tenants_api.ids import is_id
from tenants_api.registry import repository
from tenants_api.registry.errors import InvalidStateTransition, IssuerTaken, TenantNotFound
from tenants_api.registry.models import AdminApiKey, Realm, Tenant
from tenants_api.registry.repository import registered_draft
from tenants_api.registry.values import Change, RealmDraft, TenantDraft, TenantState, Transition
from tenants_api.role_rules import RoleRule
from tenants_api.tokens.errors import InsufficientRole

# `when_ready` activates if the checks pass; `now` stores nothing unless they pass; `never` only checks; `unchecked` is
# for imports and runs no check.
Activation = Literal["when_ready", "now", "never", "unchecked"]
ACTIVATION_ATTEMPTS = 3  # each fails when the tenant was changed while it was checked
# Members that decide neither where keys come from nor which tokens are accepted: a change of these repeats no check.
_UNCHECKED = ("authorized_parties", "login_client_id", "docs_client_id")
# (state, goal) → the transitions between them
_TRANSITIONS: Mapping[tuple[str, str], tuple[Transition, ...]] = {
    ("draft", "active"): (Transition.ACTIVATE,),
    ("draft", "suspended"): (Transition.ACTIVATE, Transition.SUSPEND),
    ("active", "suspended"): (Transition.SUSPEND,),
    ("suspended", "active"): (Transition.RESUME,),
}


class Commands:
    """The use cases that change the registry. Edges check drafts against `vocabulary`; `checks` call realms.

    A command that returns is committed; one that raises changed nothing, except that `activate` stores its reports.
    """

    def __init__(self, runner: Runner, *, checks: RealmChecks, vocabulary: Vocabulary, clocks: Clocks) -> None:
        self._runner, self._clocks = runner, clocks
        self.checks, self.vocabulary = checks, vocabulary

    async def create(
        self, draft: TenantDraft, *, activate: Activation, state: TenantState | None = None, change: Change
    ) -> Tenant:
        """Create a tenant with its realms, check them, and activate it by `activate`; or set `state`, if that is given.

        Raises:
            SlugTaken, ExternalIdTaken, IssuerTaken
            RealmNotReady: with `now`, a check failed; nothing was stored.
        """
        self.refuse_reserved(draft.realms)
        goal = _goal(state, present=TenantState.DRAFT, activate=activate)
        if goal == TenantState.ACTIVE and activate == "now":
            return await self._write_and_activate(
                draft, lambda session: create(session, draft=draft, change=change), change=change
            )
        checks_first = goal == TenantState.ACTIVE and activate != "unchecked"
        ways = () if checks_first else _TRANSITIONS.get((TenantState.DRAFT, goal), ())
        async with self._runner.transaction() as session:
            tenant = await create(session, draft=draft, change=change, transitions=ways)
            if activate == "unchecked":
                return tenant
            tenant = await repository.get_tenant(session, ref=str(tenant.id))
        # The tenant is committed: a failure from this line on leaves a draft, and creation still succeeds.
        return await self._check_after(tenant, activate=checks_first, change=change)

    async def put(
        self,
        ref: str,
        draft: TenantDraft,
        *,
        activate: Activation,
        state: TenantState | None = None,
        if_match: int | None = None,
        create_only: bool = False,
        change: Change,
    ) -> tuple[Tenant, bool]:
        """Replace a tenant by the draft, or create it; True with a created one.

        Realms are matched by issuer and organization. Checks run if the tenant is in state `draft`, or a realm is new
        or changed. A draft without a slug keeps the present slug. `state` None keeps the state, except that `activate`
        applies to a tenant in state `draft`.

        Raises:
            TenantNotFound: `ref` is an id that no tenant has; callers cannot choose ids.
            EtagMismatch: the stored version is not `if_match`, or the tenant exists and `create_only` is set.
            InvalidStateTransition: the tenant is deleted; restore or purge it first.
            SlugTaken, ExternalIdTaken, IssuerTaken
            RealmNotReady: with `now`, a check failed; nothing was changed.
        """
        self.refuse_reserved(draft.realms)
        async with self._runner.database.read() as session:
            present = await repository.find_tenant(session, ref=ref)
        if present is None:
            if is_id(ref):
                raise TenantNotFound
            if if_match is not None:
                raise EtagMismatch(f"If-Match names version {if_match}, but the tenant does not exist")
            return await self.create(draft, activate=activate, state=state, change=change), True
        if create_only:
            raise EtagMismatch("If-None-Match is `*`, but the tenant already exists")
        ref, draft = str(present.id), replace(draft, slug=draft.slug or present.slug)
        goal = _goal(state, present=present.state, activate=activate)
        if (present.state, goal, activate) == (TenantState.DRAFT, TenantState.ACTIVE, "now"):

            async def write(session: AsyncSession) -> Tenant:
                return await service.replace_tenant(session, ref=ref, draft=draft, if_match=if_match, change=change)

            return await self._write_and_activate(draft, write, change=change), False
        async with self._runner.transaction() as session:
            before = await _not_deleted(session, ref=ref)
            realms = _versions(before)
            tenant = await service.replace_tenant(session, ref=ref, draft=draft, if_match=if_match, change=change)
            goal = _goal(state, present=tenant.state, activate=activate)
            checks_first = (tenant.state, goal) == (
                TenantState.DRAFT,
                TenantState.ACTIVE,
            ) and activate != "unchecked"
            for transition in () if checks_first else _TRANSITIONS.get((tenant.state, goal), ()):
                tenant = await service.move(session, ref=ref, transition=transition, change=change)
        if activate != "unchecked" and (tenant.state == TenantState.DRAFT or _versions(tenant) != realms):
            tenant = await self._check_after(tenant, activate=checks_first, change=change)
        return tenant, False

    async def update(
        self, ref: str, patch: Callable[[Tenant], Mapping[str, Any]], *, if_match: int | None = None, change: Change
    ) -> Tenant:
        """Change the fields that `patch` returns for the stored tenant; see `service.update_tenant`.

        Raises:
            TenantNotFound, EtagMismatch, ExternalIdTaken, and what `patch` raises.
        """
        async with self._runner.transaction() as session:
            fields = patch(await repository.get_tenant(session, ref=ref, for_update=True))
            return await service.update_tenant(session, ref=ref, fields=fields, if_match=if_match, change=change)

    async def set_role_mapping(
        self, ref: str, rules: Sequence[RoleRule], *, if_match: int | None = None, change: Change
    ) -> Tenant:
        """Replace the role mapping. Raises TenantNotFound, EtagMismatch."""
        return await self.update(ref, lambda _: {"role_mapping": tuple(rules)}, if_match=if_match, change=change)

    async def move(self, ref: str, transition: Transition, *, if_match: int | None = None, change: Change) -> Tenant:
        """Change the state. Raises TenantNotFound, EtagMismatch, InvalidStateTransition."""
        async with self._runner.transaction() as session:
            return await service.move(session, ref=ref, transition=transition, if_match=if_match, change=change)

    async def activate(self, ref: str, *, if_match: int | None = None, change: Change) -> Tenant:
        """Check the realms of a draft and activate it.

        Raises:
            RealmNotReady: a check failed, or each attempt met a concurrent change; the reports of present realms are
                stored.
            InvalidStateTransition, EtagMismatch: see `service.move`.
        """
        for _ in range(ACTIVATION_ATTEMPTS):
            reports = await self.checks.check_all(enabled(await self._read(ref)))
            ready = all_ready(reports)
            async with self._runner.transaction() as session:
                tenant, current = await self.checks.store(session, ref=ref, reports=reports)
                if ready and current:
                    tenant = await service.move(
                        session, ref=ref, transition=Transition.ACTIVATE, if_match=if_match, change=change
                    )
            if current:
                break
        if not ready or not current:
            raise not_ready([(realm.issuer, report) for realm, report in reports])
        self.checks.adopt_keys(reports)
        return tenant

    async def purge(self, ref: str, *, change: Change) -> Tenant:
        """Remove a deleted tenant for good; its last state. Raises TenantNotFound, InvalidStateTransition."""
        async with self._runner.transaction() as session:
            last = await repository.get_tenant(session, ref=ref)
            session.expunge(last)
            await service.purge_tenant(session, ref=ref, change=change)
        return last

    async def add_realm(self, ref: str, draft: RealmDraft, *, change: Change) -> Realm:
        """Add a realm to a tenant and check it at once; it serves when the tenant is active.

        Raises:
            TenantNotFound, IssuerTaken
        """
        self.refuse_reserved((draft,))
        async with self._runner.transaction() as session:
            realm = await service.add_realm(session, ref=ref, draft=draft, change=change)
        with after_commit("realms_not_checked", realm_id=str(realm.id)):
            reports = await self.checks.check_all([realm])
            async with self._runner.transaction() as session:
                await self.checks.store_each(session, reports=reports)
                checked = await service.get_realm(session, ref=ref, realm_id=realm.id)
            realm = checked  # only after the commit: what a failed transaction read is not returned
            self.checks.adopt_keys(reports)
        return realm

    async def update_realm(
        self,
        ref: str,
        realm_id: uuid.UUID,
        patch: Mapping[str, Any],
        *,
        if_match: int | None = None,
        change: Change,
    ) -> Realm:
        """Change a realm by merge patch (RFC 7396); checks are repeated where the change can affect its tokens.

        Members derived from the issuer or the client id are derived again.

        Raises:
            ValidationFailed, TenantNotFound, RealmNotFound, EtagMismatch, IssuerTaken
        """
        async with self._runner.transaction() as session:
            await repository.get_tenant(session, ref=ref, for_update=True)
            before = await service.get_realm(session, ref=ref, realm_id=realm_id)
            present = registered_draft(before)
            draft = realm_draft(policy=self.vocabulary.policy, **members_of(present) | dict(patch))
            self.refuse_reserved((draft,))
            realm = await service.update_realm(
                session, ref=ref, realm_id=realm_id, draft=draft, if_match=if_match, change=change
            )
            tenant = await repository.get_tenant(session, ref=ref)
        if replace(draft, **{name: getattr(present, name) for name in _UNCHECKED}) != present:
            checked = await self._check_after(tenant, change=change)
            realm = next((one for one in checked.realms if one.id == realm_id), realm)
        return realm

    async def remove_realm(self, ref: str, realm_id: uuid.UUID, *, if_match: int | None = None, change: Change) -> None:
        """Remove a realm; its tokens are refused from then on. Raises as `update_realm`."""
        async with self._runner.transaction() as session:
            await service.remove_realm(session, ref=ref, realm_id=realm_id, if_match=if_match, change=change)

    async def check_tenant(self, ref: str, *, change: Change, activate: bool = False) -> Tenant:
        """Check all enabled realms of a tenant and store the reports; with `activate`, activate a draft that is ready.

        Raises:
            TenantNotFound
        """
        return await self._check_and_store(await self._read(ref), activate=activate, change=change)

    async def check_sample(self, ref: str, *, token: str) -> Reports:
        """Check the enabled realms whose issuer the token has, or all if none has it, with the token. Stores nothing.

        A report is of the token as well: stored, it would make a healthy realm fail. Raises TenantNotFound.
        """
        realms = enabled(await self._read(ref))
        return await self.checks.check_with_sample(realms, token=token)

    def refuse_reserved(self, drafts: Iterable[RealmDraft]) -> None:
        """Refuse issuers of the platform realm; every command does, an import before it begins. Raises IssuerTaken."""
        for draft in drafts:
            if draft.issuer in self.checks.reserved:
                # The platform realm's users administer this API: a tenant must never share their issuer.
                raise IssuerTaken(draft.issuer)

    async def create_admin_key(
        self, name: str, *, scopes: Sequence[str], expires_at: datetime | None, held: Collection[str], change: Change
    ) -> tuple[AdminApiKey, str]:
        """Create an admin key; the second value is its text, which is not stored.

        Raises:
            InsufficientRole: a scope is not in `held`, the scopes of the caller.
            ValidationFailed: a scope is unknown, or `expires_at` is not in the future.
        """
        _must_hold(held, scopes=scopes)
        if expires_at is not None and expires_at.timestamp() <= self._clocks.wall():
            raise ValidationFailed(errors=[FieldError("/expires_at", "must be in the future")])
        async with self._runner.transaction() as session:
            return await admin_keys.create_admin_key(
                session, name=name, scopes=scopes, expires_at=expires_at, change=change
            )

    async def revoke_admin_key(self, key_id: str, *, held: Collection[str], change: Change) -> None:
        """Revoke an admin key. Raises ApiKeyNotFound, and InsufficientRole if it has a scope that is not in `held`."""
        async with self._runner.transaction() as session:
            # A key with `keys:write` alone could otherwise revoke every stronger key.
            _must_hold(held, scopes=(await admin_keys.get_admin_key(session, key_id=key_id)).scopes)
            await admin_keys.revoke_admin_key(session, key_id=key_id, change=change)

    async def _write_and_activate(
        self, draft: TenantDraft, write: Callable[[AsyncSession], Awaitable[Tenant]], *, change: Change
    ) -> Tenant:
        """Check the draft, then write and activate in one transaction. Raises RealmNotReady."""
        checked = await self.checks.passed(draft)
        async with self._runner.transaction() as session:
            tenant = await write(session)
            reports = [(realm, checked[realm.issuer, realm.organization]) for realm in tenant.realms]
            await self.checks.store_each(session, reports=reports)
            await service.move(session, ref=str(tenant.id), transition=Transition.ACTIVATE, change=change)
            tenant = await repository.get_tenant(session, ref=str(tenant.id))
        self.checks.adopt_keys(reports)
        return tenant

    async def _check_after(self, tenant: Tenant, *, change: Change, activate: bool = False) -> Tenant:
        """As `check_tenant`, after a committed change: a failure is logged, and the committed tenant returned."""
        found = tenant
        with after_commit("realms_not_checked", tenant=tenant.slug):
            found = await self._check_and_store(tenant, activate=activate, change=change)
        return found  # noqa: RET504 (`tenant` where the check raised)

    async def _check_and_store(self, tenant: Tenant, *, activate: bool, change: Change) -> Tenant:
        ref = str(tenant.id)
        reports: Reports = await self.checks.check_all(enabled(tenant))
        async with self._runner.transaction() as session:
            tenant, current = await self.checks.store(session, ref=ref, reports=reports)
            if activate and all_ready(reports) and current and tenant.state == TenantState.DRAFT:
                tenant = await service.move(session, ref=ref, transition=Transition.ACTIVATE, change=change)
        self.checks.adopt_keys(reports)
        return tenant

    async def _read(self, ref: str) -> Tenant:
        async with self._runner.database.read() as session:
            return await repository.get_tenant(session, ref=ref)


def _goal(state: TenantState | None, *, present: str, activate: Activation) -> str:
    """The desired state: `state`, else the present one; of a draft by `activate`."""
    if state is not None or present != TenantState.DRAFT:
        return state or present
    return TenantState.DRAFT if activate == "never" else TenantState.ACTIVE


async def _not_deleted(session: AsyncSession, *, ref: str) -> Tenant:
    tenant = await repository.get_tenant(session, ref=ref, for_update=True)
    if tenant.state == TenantState.DELETED:
        raise InvalidStateTransition(tenant.state, wanted="be replaced", allowed=(Transition.RESTORE, "purge"))
    return tenant


def _versions(tenant: Tenant) -> frozenset[object]:
    return frozenset((realm.id, realm.version) for realm in tenant.realms)


def _must_hold(held: Collection[str], *, scopes: Iterable[str]) -> None:
    for scope in scopes:
        if scope not in held:
            raise InsufficientRole(scope)
