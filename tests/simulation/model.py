"""What must hold, in plain words of its own: the registry as it was at each moment, and what follows for a token.

The registry's history is read from the database at the very moment of each commit, past the product. A verdict is
judged when it is given. The promises are those of the design; `Broken` names the one that does not hold.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from tests.simulation.product import KEY_LIFETIME, LEEWAY, STALE_LIMIT
from tests.simulation.realms import LIFETIME, SimRealm, Spans, Token

PROPAGATION = 1.0  # seconds from a commit until every replica that reaches the database acts on it
FETCH_SLACK = 4.0  # seconds from the end of a lifetime until the next set is there
# Seconds after trouble in which a realm may not be asked again yet: back-off of 30 s and a fifth, and a look-up that
# began before is not over.
RECOVERY = 45.0
NEW_KEY = 4.0  # seconds from the first token of a new key until it is known
LONGEST_WAIT = 3.0  # seconds that a good token of a realm without trouble may take
CHECKED_BEFORE = 60.0  # seconds that checks may take before a tenant is created with what they found


class Broken(Exception):
    """A promise does not hold."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}")
        self.promise = promise


@dataclass(frozen=True, slots=True)
class Row:
    """A registered realm. `since` is the first moment at which it had this issuer and URL (loop seconds)."""

    realm_id: str
    tenant_id: str
    slug: str
    state: str
    issuer: str
    organization: str
    url: str
    enabled: bool
    rules: tuple[tuple[str, str, str], ...]
    since: float

    @property
    def serves(self) -> bool:
        return self.state == "active" and self.enabled

    def role(self, name: str) -> frozenset[str]:
        """What a role of the client means."""
        if not self.rules:
            return frozenset({name})
        return frozenset(role for _, value, role in self.rules if value == name)


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored key set: when it was fetched (loop seconds), the kids in it, and what it was fetched for."""

    fetched_at: float
    kids: frozenset[str]
    issuer: str
    url: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The registry from `at` on."""

    at: float
    rows: tuple[Row, ...]
    stored: dict[str, Stored]
    shared: frozenset[str]  # issuers that have, or had, registered organizations, in whatever state

    def resolve(self, token: Token) -> Row | None:
        """Whose token it is; None when nobody's, or when the tenant does not serve."""
        mine = [row for row in self.rows if row.issuer == token.issuer]
        if token.organizations and token.issuer in self.shared:
            named = [row for row in mine if row.organization in token.organizations and row.serves]
            return named[0] if len(named) == 1 else None
        return next((row for row in mine if not row.organization and row.serves), None)


_ROWS = (
    "select r.id, t.id, t.slug, t.state, r.issuer, r.organization, r.realm_url, r.enabled "
    "from realms r join tenants t on t.id = r.tenant_id order by t.slug, r.issuer, r.organization"
)
_RULES = "select tenant_id, source, value, role from role_rules order by tenant_id, position"
_STORED = "select realm_id, jwks, fetched_at, issuer, realm_url from realm_keys"


@dataclass(slots=True)
class Verdict:
    """One verification: of which token, where, when, and how it ended."""

    token: Token
    process: str
    began: float
    ended: float
    wall: float  # of that replica, at the end
    outcome: str  # `accepted`, or the reason of the refusal
    tenant: str = ""  # slug
    organization: str = ""
    roles: frozenset[str] = frozenset()


@dataclass
class Model:
    """The history, and the judge. `clock_slack` is the sum of all steps of wall clocks."""

    path: str
    now: Callable[[], float]
    epoch: float  # wall seconds at loop time zero
    realms: Sequence[SimRealm]
    clock_slack: float = 0.0
    history: list[Snapshot] = field(default_factory=list)
    database: dict[str, Spans] = field(default_factory=dict)
    presented: dict[tuple[str, str, str], float] = field(default_factory=dict)
    refreshed: list[tuple[str, float, float]] = field(default_factory=list)
    accepted: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        self._connection = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        self._first: dict[tuple[str, str, str], float] = {}
        self._targets: dict[str, tuple[str, str, str]] = {}  # of each realm, its first
        self.committed()

    def close(self) -> None:
        self._connection.close()

    @property
    def latest(self) -> Snapshot:
        return self.history[-1]

    def version(self) -> int:
        return int(self._connection.execute("select version from registry_version").fetchone()[0])

    def committed(self) -> None:
        """Read the registry: something was just committed."""
        ask, now = self._connection.execute, self.now()
        rules: dict[str, list[tuple[str, str, str]]] = {}
        for tenant_id, *rule in ask(_RULES):
            rules.setdefault(tenant_id, []).append((rule[0], rule[1], rule[2]))
        rows = tuple(self._row(found, rules=rules, now=now) for found in ask(_ROWS).fetchall())
        stored = {realm: Stored(self._moment(at), _kids(jwks), *origin) for realm, jwks, at, *origin in ask(_STORED)}
        shared = frozenset(row.issuer for row in rows if row.organization)
        shared |= self.history[-1].shared if self.history else frozenset()
        self.history.append(Snapshot(now, rows, stored, shared))

    def check_stored(self) -> None:
        """A stored key set was fetched for what its realm is now. Raises Broken."""
        for row in self.latest.rows:
            kept = self.latest.stored.get(row.realm_id)
            if kept is not None and (kept.issuer, kept.url) != (row.issuer, row.url):
                was = f"was fetched for {kept.issuer} at {kept.url}"
                raise Broken("1 (stored keys)", f"the set of {row.slug}, {row.issuer} at {row.url}, {was}")

    def told(self, name: str) -> int:
        """How many entries of the audit trail name this change."""
        found = self._connection.execute("select count(*) from audit_events where request_id = ?", (name,))
        return int(found.fetchone()[0])

    def spans(self, process: str) -> Spans:
        return self.database.setdefault(process, Spans())

    def between(self, low: float, high: float) -> Iterator[Snapshot]:
        """What the registry was at any time between both, the latest first."""
        for snapshot in reversed(self.history):
            if snapshot.at <= high:
                yield snapshot
                if snapshot.at <= low:
                    return

    def binding(self, process: str, at: float) -> float:
        """A change that was committed by then must be followed by this replica at this time."""
        return self.spans(process).last_gap(at, length=PROPAGATION)

    def judge(self, verdict: Verdict) -> None:
        """Raises Broken."""
        key = (verdict.process, verdict.token.issuer, verdict.token.key.id)
        self.presented.setdefault(key, verdict.began)
        if verdict.outcome == "accepted":
            self.accepted += 1
            self._accepted(verdict)
        else:
            self.refused += 1
            self._refused(verdict)

    def _accepted(self, verdict: Verdict) -> None:
        token, low = verdict.token, self.binding(verdict.process, verdict.ended)
        rows = [row for snapshot in self.between(low, verdict.ended) if (row := snapshot.resolve(token)) is not None]
        of_tenant = [row for row in rows if (row.slug, row.organization) == (verdict.tenant, verdict.organization)]
        if not of_tenant:
            said = ", ".join(sorted({f"{row.slug} ({row.state})" for row in rows})) or self._says(token)
            raise Broken("5 (changes)", f"{_show(verdict)}; since {low:.3f} the registry says: {said}")
        with_roles = [row for row in of_tenant if row.role(token.role) == verdict.roles]
        if not with_roles:
            raise Broken("5 (roles)", f"{_show(verdict)} with roles {sorted(verdict.roles)}")
        if not any(self._key_may_serve(row, verdict=verdict, low=low) for row in with_roles):
            raise Broken("1 (keys)", f"{_show(verdict)}; {self._keys_of(with_roles[0], token)}")
        if token.expires_at + LEEWAY <= verdict.wall:
            raise Broken("1 (expiry)", f"{_show(verdict)} {verdict.wall - token.expires_at:.0f} s too late")

    def _key_may_serve(self, row: Row, *, verdict: Verdict, low: float) -> bool:
        """Whether the realm at this row's URL published the key while it was registered there, and lately enough."""
        realm = self._realm_at(row.url)
        if realm is None:
            return False
        oldest = self._oldest(realm, row=row, verdict=verdict, low=low)
        # A tenant that is created with `activate: now` was checked before it had a row.
        since = row.since - CHECKED_BEFORE if self._targets[row.realm_id] == _target(row) else row.since
        if not realm.was_listed(verdict.token.key, low=max(oldest, since), high=verdict.ended):
            return False
        pushed = [value for at, value in realm.pushed if at < oldest]
        if pushed and verdict.token.issued_at < max(pushed):
            return False
        return not realm.disabled.open or not realm.disabled.throughout(oldest, verdict.ended)

    def _oldest(self, realm: SimRealm, *, row: Row, verdict: Verdict, low: float) -> float:
        """When the oldest answer of the realm was given that may still count."""
        at = verdict.ended
        asked = KEY_LIFETIME + FETCH_SLACK + self.clock_slack
        if realm.troubles.touch(at - asked - RECOVERY, at):
            asked = STALE_LIMIT + FETCH_SLACK + self.clock_slack
        oldest = at - asked
        if not self.clock_slack:
            begun = [began for realm_id, began, ended in self.refreshed if realm_id == row.realm_id and ended <= low]
            oldest = max([oldest, *begun])
        return oldest

    def _refused(self, verdict: Verdict) -> None:
        token = verdict.token
        low = self.binding(verdict.process, verdict.began)
        rows = [snapshot.resolve(token) for snapshot in self.between(low, verdict.ended)]
        row = rows[0]
        if row is None or any(other is None or _target(other) != _target(row) for other in rows):
            return
        if not -LEEWAY < verdict.wall - token.issued_at < LIFETIME:
            return
        realm = self._realm_at(row.url)
        if realm is None or not realm.listed_throughout(token.key, low=verdict.began - NEW_KEY, high=verdict.ended):
            return
        if realm.disabled.touch(verdict.began - KEY_LIFETIME - RECOVERY - self.clock_slack, verdict.ended):
            return
        if any(token.issued_at <= value for _, value in realm.pushed):
            return
        if realm.troubles.touch(verdict.began - RECOVERY, verdict.ended):
            self._stored_keys_serve(row, verdict=verdict, low=low)
        elif self._known_there(row, realm=realm, verdict=verdict):
            raise Broken("6, 7 (good token)", f"{_show(verdict)}, and nothing is wrong with realm {realm.number}")

    def _known_there(self, row: Row, *, realm: SimRealm, verdict: Verdict) -> bool:
        """Whether the replica has had the time to learn of the key."""
        token = verdict.token
        if realm.listed_throughout(token.key, low=verdict.began - KEY_LIFETIME - FETCH_SLACK, high=verdict.ended):
            return True
        first = self.presented.get((verdict.process, token.issuer, token.key.id), verdict.began)
        return verdict.began - first > NEW_KEY

    def _stored_keys_serve(self, row: Row, *, verdict: Verdict, low: float) -> None:
        """Promise 8: the realm cannot be reached; its keys are stored."""
        token, limit = verdict.token, STALE_LIMIT - FETCH_SLACK - self.clock_slack
        for snapshot in self.between(low, verdict.ended):
            kept = snapshot.stored.get(row.realm_id)
            if kept is None or token.key.id not in kept.kids or verdict.ended - kept.fetched_at > limit:
                return
            if kept.fetched_at < row.since + self.clock_slack:
                return
        raise Broken("8 (stored keys)", f"{_show(verdict)}, and the stored set of {row.slug} holds its key")

    def waited(self, verdict: Verdict) -> None:
        """Promise 6: no token of a realm without trouble waits for another realm. Raises Broken."""
        low = self.binding(verdict.process, verdict.began)
        row = self.latest.resolve(verdict.token)
        if row is None or verdict.ended - verdict.began <= LONGEST_WAIT:
            return
        realm = self._realm_at(row.url)
        settled = all(_same(snapshot.resolve(verdict.token), row) for snapshot in self.between(low, verdict.ended))
        if realm is not None and settled and not realm.troubles.touch(verdict.began - RECOVERY, verdict.ended):
            raise Broken("6 (isolation)", f"{_show(verdict)} took {verdict.ended - verdict.began:.1f} s")

    def _row(self, found: Any, *, rules: dict[str, list[tuple[str, str, str]]], now: float) -> Row:
        realm_id, tenant_id, slug, state, issuer, organization, url, enabled = found
        since = self._first.setdefault((realm_id, issuer, url), now)
        self._targets.setdefault(realm_id, (realm_id, issuer, url))
        kept = tuple(rules.get(tenant_id, ()))
        return Row(realm_id, tenant_id, slug, state, issuer, organization, url, bool(enabled), kept, since)

    def _realm_at(self, url: str) -> SimRealm | None:
        return next((realm for realm in self.realms if realm.url == url), None)

    def _moment(self, text: str) -> float:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() - self.epoch

    def _says(self, token: Token) -> str:
        mine = [row for row in self.latest.rows if row.issuer == token.issuer]
        return ", ".join(map(_state, mine)) or "nobody has this issuer"

    def _keys_of(self, row: Row, token: Token) -> str:
        realm = self._realm_at(row.url)
        if realm is None:
            return f"no realm at {row.url}"
        mine = [
            f"{one.since:.3f} to {one.until or float('inf'):.3f}" for one in realm.published if one.key == token.key
        ]
        return f"realm {realm.number}, registered there since {row.since:.3f}, published it {mine or 'never'}"


def _state(row: Row) -> str:
    return f"{row.slug} {row.organization or '(whole realm)'} {row.state}{'' if row.enabled else ', disabled'}"


def _target(row: Row) -> tuple[str, str, str]:
    return row.realm_id, row.issuer, row.url


def _same(row: Row | None, other: Row) -> bool:
    return row is not None and _target(row) == _target(other)


@lru_cache(maxsize=4096)
def _kids(jwks: bytes) -> frozenset[str]:
    return frozenset(str(key["kid"]) for key in json.loads(jwks)["keys"])


def _show(verdict: Verdict) -> str:
    token = verdict.token
    named = f", organizations {', '.join(token.organizations)}" if token.organizations else ""
    whose = f" as {verdict.tenant} {verdict.organization}".rstrip() if verdict.outcome == "accepted" else ""
    return (
        f"token {token.serial} (issuer {token.issuer.rpartition('/')[2]}, {token.key.id} of realm {token.realm}{named})"
        f" at {verdict.process} from {verdict.began:.3f} to {verdict.ended:.3f}: {verdict.outcome}{whose}"
    )


__all__ = ["Broken", "Model", "Row", "Snapshot", "Verdict"]
