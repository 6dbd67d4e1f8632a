"""Every change of tenants, realms, role mappings and admin keys: one command each, behind every edge.

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

# `when_ready` and `now` activate what the checks let pass, `now` or nothing; `never` only checks; `unchecked` asks no
# realm, for imports.
Activation = Literal["when_ready", "now", "never", "unchecked"]
MAX_CHANGES = 3  # of a tenant while it is checked, after which its activation gives up
# What decides neither where keys come from nor which tokens are good: a change of these alone checks nothing again.
_UNCHECKED = ("authorized_parties", "login_client_id", "docs_client_id")
# (state, goal) → the transitions between them
_WAYS: Mapping[tuple[str, str], tuple[Transition, ...]] = {
    ("draft", "active"): (Transition.ACTIVATE,),
    ("draft", "suspended"): (Transition.ACTIVATE, Transition.SUSPEND),
    ("active", "suspended"): (Transition.SUSPEND,),
    ("suspended", "active"): (Transition.RESUME,),
}


class Commands:
    """The use cases that change something. Drafts for them are checked against `vocabulary`; `checks` ask realms.

    A command that returned is committed; one that raised left nothing behind, but for what `activate` stores of checks.
    """

    def __init__(self, runner: Runner, *, checks: RealmChecks, vocabulary: Vocabulary, clocks: Clocks) -> None:
        self._runner, self._clocks = runner, clocks
        self.checks, self.vocabulary = checks, vocabulary

    async def create(
        self, draft: TenantDraft, *, activate: Activation, state: TenantState | None = None, change: Change
    ) -> Tenant:
        """Create a tenant with its realms, check these, and activate it as asked; in `state`, where one is given.

        Raises:
            SlugTaken, ExternalIdTaken, IssuerTaken
            RealmNotReady: with `now`, a check failed; nothing is stored then.
        """
        self.refuse_reserved(draft.realms)
        goal = _goal(state, present=TenantState.DRAFT, activate=activate)
        if goal == TenantState.ACTIVE and activate == "now":
            return await self._at_once(
                draft, lambda session: create(session, draft=draft, change=change), change=change
            )
        waits = goal == TenantState.ACTIVE and activate != "unchecked"
        ways = () if waits else _WAYS.get((TenantState.DRAFT, goal), ())
        async with self._runner.transaction() as session:
            tenant = await create(session, draft=draft, change=change, transitions=ways)
            if activate == "unchecked":
                return tenant
            tenant = await service.get_tenant(session, ref=str(tenant.id))
        # It is committed: whatever fails from here on leaves a draft, and is no failure of its creation.
        return await self._check_after(tenant, activate=waits, change=change)

    async def make(
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
        """Make the tenant what the draft says, creating it if need be; True with a tenant that is new.

        Realms are matched by issuer and organization. Checks run for a draft, and where a realm is new or changed. A
        draft without a slug keeps the present one. `state` None leaves a state alone; a draft is activated as asked.

        Raises:
            TenantNotFound: `ref` is an id that no tenant has: ids are not for callers to choose.
            EtagMismatch: the stored version is not `if_match`, or there is a tenant with `create_only`.
            InvalidStateTransition: the tenant is deleted; restore or purge it first.
            SlugTaken, ExternalIdTaken, IssuerTaken
            RealmNotReady: with `now`, a check failed; nothing was changed then.
        """
        self.refuse_reserved(draft.realms)
        async with self._runner.database.read() as session:
            present = await repository.find_tenant(session, ref=ref)
        if present is None:
            if is_id(ref):
                raise TenantNotFound
            if if_match is not None:
                raise EtagMismatch("If-Match names a version, but there is no such tenant")
            return await self.create(draft, activate=activate, state=state, change=change), True
        if create_only:
            raise EtagMismatch("If-None-Match forbids to change the tenant, and there is one")
        ref, draft = str(present.id), replace(draft, slug=draft.slug or present.slug)
        goal = _goal(state, present=present.state, activate=activate)
        if (present.state, goal, activate) == (TenantState.DRAFT, TenantState.ACTIVE, "now"):

            async def write(session: AsyncSession) -> Tenant:
                return await service.replace_tenant(session, ref=ref, draft=draft, if_match=if_match, change=change)

            return await self._at_once(draft, write, change=change), False
        async with self._runner.transaction() as session:
            before = await _living(session, ref=ref)
            realms = _versions(before)
            tenant = await service.replace_tenant(session, ref=ref, draft=draft, if_match=if_match, change=change)
            goal = _goal(state, present=tenant.state, activate=activate)
            waits = (tenant.state, goal) == (TenantState.DRAFT, TenantState.ACTIVE) and activate != "unchecked"
            for transition in () if waits else _WAYS.get((tenant.state, goal), ()):
                tenant = await service.move(session, ref=ref, transition=transition, change=change)
        if activate != "unchecked" and (tenant.state == TenantState.DRAFT or _versions(tenant) != realms):
            tenant = await self._check_after(tenant, activate=waits, change=change)
        return tenant, False

    async def update(
        self, ref: str, patch: Callable[[Tenant], Mapping[str, Any]], *, if_match: int | None = None, change: Change
    ) -> Tenant:
        """Change some fields of a tenant: those that `patch` gives for the stored one, as `service.update_tenant`.

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
        """One explicit change of state. Raises TenantNotFound, EtagMismatch, InvalidStateTransition."""
        async with self._runner.transaction() as session:
            return await service.move(session, ref=ref, transition=transition, if_match=if_match, change=change)

    async def activate(self, ref: str, *, if_match: int | None = None, change: Change) -> Tenant:
        """Activate a draft whose checks pass.

        Raises:
            RealmNotReady: a check failed, or the tenant was changed again and again while it was checked; what was
                found of its present realms is stored.
            InvalidStateTransition, EtagMismatch: see `registry.service.move`.
        """
        for _ in range(MAX_CHANGES):
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
        """Remove a deleted tenant for good; what it was. Raises TenantNotFound, InvalidStateTransition."""
        async with self._runner.transaction() as session:
            last = await service.get_tenant(session, ref=ref)
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
            realm = checked  # only now: what a commit that fails has read is no answer
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
        """Change a realm by merge patch (RFC 7396); what decides about its tokens is checked again.

        What followed from the issuer or the client id goes on following it.

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
            tenant = await service.get_tenant(session, ref=ref)
        if replace(draft, **{name: getattr(present, name) for name in _UNCHECKED}) != present:
            checked = await self._check_after(tenant, change=change)
            realm = next((one for one in checked.realms if one.id == realm_id), realm)
        return realm

    async def remove_realm(self, ref: str, realm_id: uuid.UUID, *, if_match: int | None = None, change: Change) -> None:
        """Take a realm away; its tokens are refused from then on. Raises as `update_realm`."""
        async with self._runner.transaction() as session:
            await service.remove_realm(session, ref=ref, realm_id=realm_id, if_match=if_match, change=change)

    async def check_tenant(self, ref: str, *, change: Change, activate: bool = False) -> Tenant:
        """Run the checks of all enabled realms of a tenant and store what they found; activate a ready draft if asked.

        Raises:
            TenantNotFound
        """
        return await self._check_and_store(await self._read(ref), activate=activate, change=change)

    def refuse_reserved(self, drafts: Iterable[RealmDraft]) -> None:
        """Every command does this itself; an import asks before it begins. Raises IssuerTaken."""
        for draft in drafts:
            if draft.issuer in self.checks.reserved:
                # The platform realm's users administer this API; a tenant must never be able to stand beside them.
                raise IssuerTaken(draft.issuer)

    async def create_admin_key(
        self, name: str, *, scopes: Sequence[str], expires_at: datetime | None, held: Collection[str], change: Change
    ) -> tuple[AdminApiKey, str]:
        """Make an admin key; the second value is its text, which is stored nowhere.

        Raises:
            InsufficientRole: it would have a scope that its maker does not hold.
            ValidationFailed: a scope does not exist, or `expires_at` is past.
        """
        _must_hold(held, scopes=scopes)
        if expires_at is not None and expires_at.timestamp() <= self._clocks.wall():
            raise ValidationFailed(errors=[FieldError("/expires_at", "must be in the future")])
        async with self._runner.transaction() as session:
            return await admin_keys.create_admin_key(
                session, name=name, scopes=scopes, expires_at=expires_at, change=change
            )

    async def revoke_admin_key(self, key_id: str, *, held: Collection[str], change: Change) -> None:
        """End an admin key. Raises ApiKeyNotFound, and InsufficientRole for a key with a scope that is not held."""
        async with self._runner.transaction() as session:
            # A key that may only make keys could otherwise lock out every stronger one.
            _must_hold(held, scopes=(await admin_keys.get_admin_key(session, key_id=key_id)).scopes)
            await admin_keys.revoke_admin_key(session, key_id=key_id, change=change)

    async def _at_once(
        self, draft: TenantDraft, write: Callable[[AsyncSession], Awaitable[Tenant]], *, change: Change
    ) -> Tenant:
        """Write and activate in one transaction, after the checks of what is described. Raises RealmNotReady."""
        checked = await self.checks.passed(draft)
        async with self._runner.transaction() as session:
            tenant = await write(session)
            reports = [(realm, checked[realm.issuer, realm.organization]) for realm in tenant.realms]
            await self.checks.store_each(session, reports=reports)
            await service.move(session, ref=str(tenant.id), transition=Transition.ACTIVATE, change=change)
            tenant = await service.get_tenant(session, ref=str(tenant.id))
        self.checks.adopt_keys(reports)
        return tenant

    async def _check_after(self, tenant: Tenant, *, change: Change, activate: bool = False) -> Tenant:
        """As `check_tenant`, after a change of the tenant that is committed: what fails now is logged, never raised.

        The answer is the tenant as it was committed where nothing newer could be stored.
        """
        found = tenant
        with after_commit("realms_not_checked", tenant=tenant.slug):
            found = await self._check_and_store(tenant, activate=activate, change=change)
        return found  # noqa: RET504 (where the check failed it is the tenant as committed)

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
            return await service.get_tenant(session, ref=ref)


def _goal(state: TenantState | None, *, present: str, activate: Activation) -> str:
    """The state that a tenant shall have: the given one, else its own, which for a draft is to be activated."""
    if state is not None or present != TenantState.DRAFT:
        return state or present
    return TenantState.DRAFT if activate == "never" else TenantState.ACTIVE


async def _living(session: AsyncSession, *, ref: str) -> Tenant:
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
