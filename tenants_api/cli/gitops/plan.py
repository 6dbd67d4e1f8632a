"""The plan of an import, in a temporary database on disk, so that memory does not grow with the file.

The database has every document as its canonical line, each name that must be unique, and the steps. It is separate
from the registry's database and is deleted when the command ends.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from tenants_api.cli.gitops.documents import DesiredTenant, differences, document, line
from tenants_api.cli.options import BulkActivation
from tenants_api.control.drafts import registered_tenant
from tenants_api.encoding.strict_json import parse_json
from tenants_api.registry import repository as bulk
from tenants_api.registry.models import Tenant
from tenants_api.registry.repository import Owner
from tenants_api.registry.values import TenantState

_TABLES = """
create table steps (
    n integer primary key, line integer, slug text, document text, state text,
    action text, tenant_id text, version integer, goal text, changes text, waits integer not null default 0
);
create index steps_by_action on steps (action, waits, n);
create table names (kind text, name text, line integer, slug text, primary key (kind, name)) without rowid;
"""

_SELECT = "select n, line, slug, document, state, action, tenant_id, version, goal, changes from steps where"
_NEXT = "and n > ? order by n limit ?"


@dataclass(frozen=True, slots=True)
class Step:
    """A tenant of the file, or one to delete (`line` 0, no document).

    `action` is create, update, unchanged or delete, `goal` the desired state, `changes` the members that differ,
    `version` the tenant's version when the plan was made.
    """

    n: int
    line: int
    slug: str
    document: str
    state: str | None
    action: str | None
    tenant_id: str | None
    version: int | None
    goal: str | None
    changes: tuple[str, ...]


class PlanStore:
    """Steps in the order of the file."""

    def __init__(self) -> None:
        self._base = sqlite3.connect("", isolation_level=None)  # "": a temporary file that no other process can open
        self._base.executescript("pragma journal_mode=off; pragma synchronous=off; pragma cache_size=-8000;" + _TABLES)
        self._base.execute("begin")

    def close(self) -> None:
        self._base.close()

    def add(self, desired: DesiredTenant, *, at: int) -> list[str]:
        """Add a document; returns a fault for each name that the file already has."""
        draft = desired.draft
        names = [("slug", draft.slug), *((("external_id", draft.external_id),) if draft.external_id else ())]
        names += [("issuer", realm_name(realm.issuer, realm.organization)) for realm in draft.realms]
        duplicates = [fault for kind, name in names if (fault := self._claim(kind, name, slug=draft.slug, at=at))]
        self._base.execute(
            "insert into steps (line, slug, document, state) values (?, ?, ?, ?)",
            (at, draft.slug, line(document(draft)), desired.state),
        )
        return duplicates

    def owner(self, kind: str, name: str) -> str | None:
        """The slug of the document that names this `slug`, `external_id` or `issuer`."""
        row = self._base.execute("select slug from names where kind = ? and name = ?", (kind, name)).fetchone()
        return row[0] if row else None

    def decide(self, steps: Iterable[Step]) -> None:
        """Store the decisions of these steps."""
        self._base.executemany(
            "update steps set action = ?, tenant_id = ?, version = ?, goal = ?, changes = ? where n = ?",
            ((s.action, s.tenant_id, s.version, s.goal, json.dumps(s.changes), s.n) for s in steps),
        )

    def remove(self, slug: str, *, tenant_id: str, version: int) -> None:
        """Add a step that deletes a tenant."""
        self._base.execute(
            "insert into steps (line, slug, document, action, tenant_id, version, goal, changes)"
            " values (0, ?, '', 'delete', ?, ?, 'deleted', '[]')",
            (slug, tenant_id, version),
        )

    def wait(self, step: Step, *, attempt: int) -> None:
        """Postpone a step whose name another tenant still has to another attempt."""
        self._base.execute("update steps set waits = ? where n = ?", (attempt, step.n))

    def counts(self) -> dict[str, int]:
        """The number of steps of each action."""
        return dict(self._base.execute("select action, count(*) from steps where action is not null group by action"))

    @property
    def is_empty(self) -> bool:
        """Whether the file has no document."""
        return self._base.execute("select 1 from steps limit 1").fetchone() is None

    def batches(self, size: int) -> Iterator[list[Step]]:
        """Every document, in the order of the file."""
        yield from self._slices(f"{_SELECT} line > 0 {_NEXT}", (), size=size)

    def due(self, actions: Sequence[str], *, attempt: int = 0) -> Iterator[Step]:
        """The steps of this attempt, action by action."""
        for action in actions:
            for some in self._slices(f"{_SELECT} action = ? and waits = ? {_NEXT}", (action, attempt), size=500):
                yield from some

    def _slices(self, query: str, values: tuple[object, ...], *, size: int) -> Iterator[list[Step]]:
        # By key, not by an open cursor: steps are updated during the iteration.
        last = 0
        while rows := self._base.execute(query, (*values, last, size)).fetchall():
            last = rows[-1][0]
            yield [_step(row) for row in rows]

    def _claim(self, kind: str, name: str, *, slug: str, at: int) -> str | None:
        try:
            self._base.execute("insert into names values (?, ?, ?, ?)", (kind, name, at, slug))
        except sqlite3.IntegrityError:
            earlier = "select line from names where kind = ? and name = ?"
            (first,) = self._base.execute(earlier, (kind, name)).fetchone()
            return f"duplicate {kind} {name.partition(chr(10))[0]!r}: line {first} has it"
        return None


def _step(row: Sequence[Any]) -> Step:
    step = Step(*row)
    return replace(step, changes=tuple(json.loads(row[-1] or "[]")))


def realm_name(issuer: str, organization: str | None) -> str:
    """The unique name of a realm; neither part has a line break."""
    return f"{issuer}\n{organization or ''}"


REGISTRY_BATCH_SIZE = 200  # documents that are compared with the registry by one set of queries


@dataclass(frozen=True, slots=True)
class Conflict:
    """A document that conflicts with the registry, and the reason."""

    line: int
    slug: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Owners:
    issuers: Mapping[tuple[str, str], Owner]
    external_ids: Mapping[str, Owner]


async def make_plan(
    session: AsyncSession, *, plan_store: PlanStore, activate: BulkActivation, prune: bool
) -> list[Conflict]:
    """Decide the action of every step. With conflicts the plan must not be executed."""
    conflicts: list[Conflict] = []
    for steps in plan_store.batches(REGISTRY_BATCH_SIZE):
        documents = {step.slug: parse_json(step.document.encode()) for step in steps}
        present = await bulk.tenants_by_slug(session, slugs=list(documents))
        owners = await _owners(session, documents=documents)
        for step in steps:
            conflicts += _conflicts(step, documents[step.slug], owners=owners, plan_store=plan_store)
        decided = [_decide(step, documents[step.slug], present.get(step.slug), activate=activate) for step in steps]
        conflicts += [one for one in decided if isinstance(one, Conflict)]
        plan_store.decide(one for one in decided if isinstance(one, Step))
        session.expunge_all()
    if prune:
        await _prune(session, plan_store=plan_store)
    return conflicts


def goal_of(desired: str | None, *, present: str | None, activate: BulkActivation) -> str:
    """The desired state of a tenant: the file's, else its own; for a new one or a draft `active`.

    With `never` a new one or a draft stays a draft, also if the file has another state.
    """
    own = None if present == TenantState.DRAFT else present
    if own is None and activate is BulkActivation.NEVER:
        return TenantState.DRAFT
    return desired or own or TenantState.ACTIVE


def _decide(step: Step, desired: Any, tenant: Tenant | None, *, activate: BulkActivation) -> Step | Conflict:
    if tenant is None:
        return replace(step, action="create", goal=str(goal_of(step.state, present=None, activate=activate)))
    if tenant.state == TenantState.DELETED:
        return Conflict(step.line, step.slug, "the tenant is deleted: run `tenants-api tenants restore` or `purge`")
    goal = str(goal_of(step.state, present=tenant.state, activate=activate))
    if goal == TenantState.DRAFT and tenant.state != TenantState.DRAFT:
        return Conflict(step.line, step.slug, f"the tenant is {tenant.state}, and cannot become a draft again")
    changes = differences(document(registered_tenant(tenant)), desired)
    changes += ["state"] if goal != tenant.state else []
    action = "update" if changes else "unchanged"
    return replace(
        step, action=action, goal=goal, tenant_id=str(tenant.id), version=tenant.version, changes=tuple(changes)
    )


async def _owners(session: AsyncSession, *, documents: Mapping[str, Any]) -> _Owners:
    issuers = {issuer for one in documents.values() for issuer, _ in _realms(one)}
    external_ids = {one["external_id"] for one in documents.values() if "external_id" in one}
    return _Owners(
        await bulk.owners_of_issuers(session, issuers=issuers) if issuers else {},
        await bulk.owners_of_external_ids(session, external_ids=external_ids) if external_ids else {},
    )


def _conflicts(step: Step, desired: Any, *, owners: _Owners, plan_store: PlanStore) -> Iterator[Conflict]:
    """The names that another tenant has, and that the file does not change there."""
    claims = [(f"the issuer {issuer!r}", owners.issuers.get((issuer, of))) for issuer, of in _realms(desired)]
    if "external_id" in desired:
        claims.append((f"the external id {desired['external_id']!r}", owners.external_ids.get(desired["external_id"])))
    for what, owner in claims:
        if owner is None or owner.slug == step.slug:
            continue
        if owner.state == TenantState.DELETED:
            yield Conflict(step.line, step.slug, f"{what} is reserved for the deleted tenant {owner.slug!r}: purge it")
        elif plan_store.owner("slug", owner.slug) is None:
            yield Conflict(step.line, step.slug, f"{what} belongs to {owner.slug!r}, which the file does not name")


async def _prune(session: AsyncSession, *, plan_store: PlanStore) -> None:
    unlisted = [slug for slug in await bulk.living_slugs(session) if plan_store.owner("slug", slug) is None]
    for start in range(0, len(unlisted), REGISTRY_BATCH_SIZE):
        found = await bulk.tenants_by_slug(session, slugs=unlisted[start : start + REGISTRY_BATCH_SIZE])
        for slug, tenant in sorted(found.items()):
            plan_store.remove(slug, tenant_id=str(tenant.id), version=tenant.version)
        session.expunge_all()


def _realms(desired: Any) -> list[tuple[str, str]]:
    return [(realm["issuer"], realm.get("organization", "")) for realm in desired.get("realms", ())]
