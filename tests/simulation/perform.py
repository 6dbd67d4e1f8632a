"""How the actions happen: callers, admins, Keycloaks, the database and the processes of a world."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from tests.simulation.actions import Action
from tests.simulation.loop import owner
from tests.simulation.model import RECOVERY, Broken, Row, Verdict
from tests.simulation.product import (
    ANSWERED,
    Admin,
    KeysUnavailable,
    RealmNotReady,
    TokenError,
    lend_pool,
    realm_in,
    verified,
)
from tests.simulation.realms import SimRealm, Token, issuer_of
from tests.simulation.replica import Replica
from tests.simulation.world import World
from tests.support.tokens import Key

ORGANIZATIONS = ("red", "blue", "green")  # green is never registered
SHARED = 3  # the realm whose issuer tenants share
RECENT = 10  # tokens among which an old one is chosen
ROLES = ("editor", "viewer")
_TROUBLES = ("slow", "slow", "hanging", "broken", "refused", "dead names", "cut", "empty", "unknown name")


class Performer:
    """Performs the actions of one run."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._serial = 0
        self._former: dict[str, list[SimRealm]] = {}  # where a registered realm was before
        self._ill: dict[int, int] = {}
        self._cut_off: dict[str, int] = {}
        self._aside: set[asyncio.Task[None]] = set()

    async def perform(self, action: Action) -> None:
        """Let it happen. What it is about may not be there: then nothing happens."""
        replica = self.world.replicas[action.replica % len(self.world.replicas)]
        kind = action.kind
        if not kind.startswith("verify "):
            row = self.row_of(action)
            about = f"{row.slug} ({row.issuer.rpartition('/')[2]} {row.organization} {row.state})" if row else "nobody"
            self.world.loop.note(f"a{action.number} {kind} of {about} at {replica.name}, variant {action.how}")
        if kind.startswith("verify "):
            await self._verify(action, replica, flavour=kind.removeprefix("verify "))
        elif kind in _REALMS:
            _REALMS[kind](self, action)
        elif kind in _PROCESSES:
            await _PROCESSES[kind](self, action, replica)
        else:
            await _ADMIN[kind](self, action, replica)

    def row_of(self, action: Action) -> Row | None:
        rows = self.world.model.latest.rows
        return rows[action.pick % len(rows)] if rows else None

    def realm_of(self, action: Action) -> SimRealm:
        """The realm of the row that the action is about; else any."""
        row = self.row_of(action)
        found = next((realm for realm in self.world.realms if row is not None and realm.url == row.url), None)
        return found or self.world.realms[action.pick % len(self.world.realms)]

    # Callers.

    async def _verify(self, action: Action, replica: Replica, *, flavour: str) -> None:
        token = self._token(action, flavour=flavour)
        if token is None:
            return
        everywhere = action.how % 5 == 0
        for one in self.world.replicas if everywhere else [replica]:
            await self.verify(token, one)

    async def verify(self, token: Token, replica: Replica) -> None:
        """Present the token, and let the model judge the verdict."""
        services, world = replica.services, self.world
        if services is None:
            return
        began = world.now
        told = {"token": token, "process": replica.name, "began": began}
        try:
            principal = await verified(services, token.raw)
        except TokenError as error:
            reason = error.refusal.reason if error.refusal is not None else error.code
            verdict = Verdict(**told, ended=world.now, wall=replica.wall(), outcome=reason)  # type: ignore[arg-type]
        else:
            verdict = Verdict(
                **told, ended=world.now, wall=replica.wall(), outcome="accepted", tenant=principal.tenant.slug,  # type: ignore[arg-type]
                organization=principal.organization or "", roles=frozenset(principal.roles),
            )  # fmt: skip
        if replica.services is not services:
            return  # the process ended meanwhile: nobody gets its answer
        named = f" {','.join(token.organizations)}" if token.organizations else ""
        shown = f"token {token.serial} ({token.issuer.rpartition('/')[2]}{named}, {token.key.id} of {token.realm})"
        waited = f", waited {verdict.ended - began:.3f}"
        world.loop.note(
            f"{shown} at {replica.name}{waited}: {verdict.outcome} {verdict.tenant} {sorted(verdict.roles)}"
        )
        world.model.judge(verdict)
        world.model.waited(verdict)

    def _token(self, action: Action, *, flavour: str) -> Token | None:
        row, tokens = self.row_of(action), self.world.tokens
        if flavour == "old":
            mine = [token for token in tokens if row is not None and token.issuer == row.issuer] or tokens
            return mine[-1 - action.how % min(len(mine), RECENT)] if mine else None
        if row is None:
            return None
        realm, issuer, key = self.realm_of(action), row.issuer, None
        organizations = (row.organization,) if row.organization else ()
        if flavour == "withdrawn":
            gone = [one.key for one in realm.published if one.until is not None]
            key = gone[-1 - action.how % min(len(gone), 3)] if gone else None
        elif flavour == "foreign":
            key = self._foreign_key(row, realm=realm, how=action.how)
        elif flavour == "organization":
            issuer = self.world.realms[SHARED].issuer
            realm = self.world.realms[SHARED]
            organizations = (ORGANIZATIONS[action.how % 3],)
        elif issuer != realm.issuer and action.how % 3:
            return None  # the realm does not give out such tokens; now and then one is there all the same
        return self.mint(realm, issuer=issuer, key=key, organizations=organizations, how=action.how)

    def _foreign_key(self, row: Row, *, realm: SimRealm, how: int) -> Key:
        former = self._former.get(row.realm_id)
        if former and how % 4:
            return former[-1].published[-1 - how % min(len(former[-1].published), 2)].key
        retired = [one.key for one in realm.published if one.until is not None]
        if retired and how % 2:
            return retired[-1]
        others = [other for other in self.world.realms if other is not realm]
        return others[how % len(others)].listed[0]

    def mint(
        self, realm: SimRealm, *, issuer: str, key: Key | None = None, organizations: tuple[str, ...] = (), how: int = 0
    ) -> Token:
        self._serial += 1
        token = realm.mint(
            self._serial, now=self.world.now, wall=self.world.wall, issuer=issuer, key=key,
            organizations=organizations, role=ROLES[how % 2],
        )  # fmt: skip
        self.world.tokens.append(token)
        return token

    # Admins.

    async def admin(
        self, action: Action, replica: Replica, work: Callable[[Admin], Awaitable[None]], *, step: int = 0
    ) -> bool:
        """Ask the replica for a change, and judge the answer by what is in the database. True: it was made."""
        return await self.asked(action, replica, work, step=step) is None

    async def asked(
        self, action: Action, replica: Replica, work: Callable[[Admin], Awaitable[None]], *, step: int = 0
    ) -> Exception | None:
        """The same; gives the error that it was answered with."""
        services, world = replica.services, self.world
        if services is None:
            return ConnectionRefusedError()
        name, cuts = f"a{action.number}.{step}", world.cuts.get(replica.name, 0)
        try:
            await work(Admin(services, name=name))
        except ANSWERED as error:
            world.loop.note(f"{name} {type(error).__name__}")
            unclear = world.cuts.get(replica.name, 0) != cuts
            if not unclear and world.model.told(name):
                text = f"{action.kind} at {replica.name} was answered with {type(error).__name__} ({error})"
                raise Broken("13 (changes)", f"{text[:300]}, but it was committed") from error
            return error
        except Exception as error:
            raise Broken("12 (errors)", f"{action.kind} at {replica.name}: {type(error).__name__}: {error}") from error
        world.loop.note(f"{name} done")
        return None

    def _must_answer(self, realm: SimRealm, *, began: float, error: Exception | None, asked: str) -> None:
        """Promise 6: a realm without trouble is reached, whatever other realms do. Raises Broken."""
        now = self.world.now
        ill = realm.troubles.touch(began - RECOVERY, now) or realm.disabled.touch(began - RECOVERY, now)
        if isinstance(error, (KeysUnavailable, RealmNotReady)) and not ill and realm.unchanged_since < began - 1.0:
            raise Broken("6 (isolation)", f"{asked} of realm {realm.number}, which has no trouble: {_told(error)}")

    async def _onboard(self, action: Action, replica: Replica) -> None:
        realm = self.world.realms[action.pick % len(self.world.realms)]
        activate = ("now", "now", "when_ready", "never")[action.how % 4]
        whole, began = [realm_in(realm.issuer, realm.url)], self.world.now
        error = await self.asked(
            action, replica, lambda ask: ask.create(f"t{action.number}", realms_in=whole, activate=activate)
        )
        self._must_answer(realm, began=began, error=error, asked=f"onboarding at {replica.name}")

    async def _organization(self, action: Action, replica: Replica) -> None:
        realm = self.world.realms[SHARED]
        name = (None, "red", "blue")[(action.how + 1) % 3]
        mine = [realm_in(realm.issuer, realm.url, organization=name)]
        activate = ("now", "never")[action.how % 7 == 6]
        await self.admin(
            action, replica, lambda ask: ask.create(f"t{action.number}", realms_in=mine, activate=activate)
        )

    async def _move(self, action: Action, replica: Replica) -> None:
        if (row := self.row_of(action)) is not None:
            await self.admin(action, replica, lambda ask: ask.move(row.slug, action.kind))

    async def _activate(self, action: Action, replica: Replica) -> None:
        if (row := self.row_of(action)) is not None:
            await self.admin(action, replica, lambda ask: ask.activate(row.slug))

    async def _purge(self, action: Action, replica: Replica) -> None:
        if (row := self.row_of(action)) is not None:
            await self.admin(action, replica, lambda ask: ask.purge(row.slug))

    async def _hand_over(self, action: Action, replica: Replica) -> None:
        """Delete and purge a tenant, and register its realm for another one."""
        row = self.row_of(action)
        if row is None:
            return
        await self.admin(action, replica, lambda ask: ask.move(row.slug, "delete"))
        await self.admin(action, replica, lambda ask: ask.purge(row.slug), step=1)
        mine = [realm_in(row.issuer, row.url, organization=row.organization or None)]
        activate = ("now", "when_ready")[action.how % 2]
        await self.admin(
            action, replica, lambda ask: ask.create(f"t{action.number}", realms_in=mine, activate=activate), step=2
        )

    async def _move_url(self, action: Action, replica: Replica) -> None:
        """The realm is served elsewhere from now on, perhaps under another issuer, perhaps by one who is late."""
        row = self.row_of(action)
        if row is None:
            return
        taken = {other.url for other in self.world.model.latest.rows}
        free = [realm for realm in self.world.realms if realm.url not in taken]
        if not free:
            return
        target, before = free[action.how % len(free)], self.realm_of(action)
        issuer = issuer_of(target.number, move=action.number) if action.how % 3 == 0 else row.issuer
        target.become(issuer, self.world.now)
        if action.how % 4 == 1:
            self.afflict(target, "hanging", seconds=20.0)
        patch = {"realm_url": target.url, "issuer": issuer}
        if await self.admin(action, replica, lambda ask: ask.patch_realm(row.slug, row.realm_id, patch)):
            self._former.setdefault(row.realm_id, []).append(before)

    async def _move_issuer(self, action: Action, replica: Replica) -> None:
        """The same Keycloak under another name: all keys are new. The registry may learn of it before or after."""
        row, realm = self.row_of(action), self.realm_of(action)
        if row is None:
            return
        issuer = issuer_of(realm.number, move=action.number)
        late = action.how % 2 == 0
        if not late:
            realm.become(issuer, self.world.now)
        patch = {"issuer": issuer, "realm_url": row.url}
        await self.admin(action, replica, lambda ask: ask.patch_realm(row.slug, row.realm_id, patch))
        if late:
            realm.become(issuer, self.world.now)

    async def _map_roles(self, action: Action, replica: Replica) -> None:
        role = ("", "admin", "viewer", "editor")[action.how % 4]
        if (row := self.row_of(action)) is not None:
            await self.admin(action, replica, lambda ask: ask.map_roles(row.slug, role))

    async def _enabled(self, action: Action, replica: Replica) -> None:
        row, patch = self.row_of(action), {"enabled": action.kind == "enable"}
        if row is not None:
            await self.admin(action, replica, lambda ask: ask.patch_realm(row.slug, row.realm_id, patch))

    async def _remove_realm(self, action: Action, replica: Replica) -> None:
        if (row := self.row_of(action)) is not None:
            await self.admin(action, replica, lambda ask: ask.remove_realm(row.slug, row.realm_id))

    async def _add_realm(self, action: Action, replica: Replica) -> None:
        row, realm = self.row_of(action), self._unregistered(action.how)
        if row is not None:
            one = realm_in(realm.issuer, realm.url)
            await self.admin(action, replica, lambda ask: ask.add_realm(row.slug, one))

    def _unregistered(self, how: int) -> SimRealm:
        """A realm whose issuer nobody has; one that somebody has now and then, or when there is no other."""
        taken = {row.issuer for row in self.world.model.latest.rows}
        free = [realm for realm in self.world.realms if realm.issuer not in taken]
        some = free if free and how % 4 else self.world.realms
        return some[how % len(some)]

    async def _put(self, action: Action, replica: Replica) -> None:
        """The tenant as it is, but at the realm that says to be its issuer now, and with other roles."""
        row, realm = self.row_of(action), self.realm_of(action)
        if row is None:
            return
        one = realm_in(realm.issuer, realm.url, organization=row.organization or None)
        role, activate = ("", "admin", "viewer")[action.how % 3], ("now", "when_ready", "never")[action.how % 5 % 3]
        await self.admin(action, replica, lambda ask: ask.put(row.slug, realms_in=[one], role=role, activate=activate))

    async def _refresh_keys(self, action: Action, replica: Replica) -> None:
        row, began, world = self.row_of(action), self.world.now, self.world
        if row is None:
            return
        error = await self.asked(action, replica, lambda ask: ask.refresh_keys(row.slug, row.realm_id))
        unhurt = not world.model.spans(replica.name).touch(began, world.now)
        still = next((other for other in world.model.latest.rows if other.realm_id == row.realm_id), None)
        if still is None or (still.url, still.issuer, still.serves) != (row.url, row.issuer, row.serves):
            return
        if not (isinstance(error, KeysUnavailable) and error.refusal and error.refusal.reason == "realm_not_active"):
            self._must_answer(self.realm_of(action), began=began, error=error, asked=f"refresh at {replica.name}")
        if error is None and unhurt:
            world.model.refreshed.append((row.realm_id, began, world.now))

    # Realms.

    def _rotate(self, action: Action) -> None:
        self.realm_of(action).rotate(self.world.now)

    def _withdraw(self, action: Action) -> None:
        realm = self.realm_of(action)
        if len(realm.listed) == 1:
            realm.rotate(self.world.now)
        realm.withdraw(realm.listed[-1], self.world.now)

    async def _trouble(self, action: Action, replica: Replica) -> None:
        what = _TROUBLES[action.how % len(_TROUBLES)]
        await self._ill_under_traffic(action, replica, what=what, seconds=1.0 + action.how % 13)

    async def _slow_realm(self, action: Action, replica: Replica) -> None:
        await self._ill_under_traffic(action, replica, what="slow", seconds=3.0 + action.how % 9)

    async def _name_server_dies(self, action: Action, replica: Replica) -> None:
        await self._ill_under_traffic(action, replica, what="dead names", seconds=35.0 + action.how % 20)

    async def _ill_under_traffic(self, action: Action, replica: Replica, *, what: str, seconds: float) -> None:
        """A realm's callers do not stop because it is ill."""
        row, realm = self.row_of(action), self.realm_of(action)
        self.afflict(realm, what, seconds=seconds)
        if row is None or action.how % 3 == 2:
            return
        until = self.world.now + seconds
        while self.world.now < until and replica.services is not None:
            await asyncio.sleep(owner().uniform(0.2, 1.5))
            organizations = (row.organization,) if row.organization else ()
            call = self.verify(self.mint(realm, issuer=row.issuer, organizations=organizations), replica)
            self.aside(call, replica=replica)

    def aside(self, call: Coroutine[Any, Any, None], *, replica: Replica) -> None:
        """A caller that nobody waits for."""
        task = asyncio.create_task(self.guarded(replica.answer(call)))
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def guarded(self, work: Awaitable[None]) -> None:
        """Keep what is broken; a process that ended gives no answer."""
        try:
            await work
        except Broken as error:
            self.world.fail(error)
        except asyncio.CancelledError:
            """The process ended: there is no answer."""
        except Exception as error:
            self.world.fail(Broken("12 (errors)", f"{type(error).__name__}: {error}"))

    def afflict(self, realm: SimRealm, what: str, *, seconds: float) -> None:
        """Trouble for a while; trouble that comes on top lasts until all of it is over."""
        self._ill[realm.number] = self._ill.get(realm.number, 0) + 1
        realm.troubles.begin(self.world.now)
        if what in ("dead names", "unknown name"):
            realm.names = what.split()[0]
        elif what in ("refused",):
            realm.connections = what
        else:
            realm.mode = what
        self.world.loop.call_later(seconds, self._heal, realm)

    def _heal(self, realm: SimRealm) -> None:
        self._ill[realm.number] -= 1
        if self._ill[realm.number] <= 0:
            realm.names = realm.connections = realm.mode = "ok"
            realm.troubles.end(self.world.now)

    def _not_before(self, action: Action) -> None:
        """All tokens of the realm until now are revoked."""
        realm = self.realm_of(action)
        realm.not_before = int(self.world.wall)
        realm.pushed.append((self.world.now, realm.not_before))

    def _disabled(self, action: Action) -> None:
        realm = self.realm_of(action)
        realm.enabled = False
        realm.disabled.begin(self.world.now)
        self.world.loop.call_later(10.0 + action.how % 40, self._enable, realm)

    def _enable(self, realm: SimRealm) -> None:
        realm.enabled = True
        realm.disabled.end(self.world.now)

    # Processes and their database.

    async def _database_trouble(self, action: Action, replica: Replica) -> None:
        what, name = ("away", "hanging", "slow")[action.how % 3], replica.name
        spans, disk = self.world.model.spans(name), self.world.disk
        self._cut_off[name] = self._cut_off.get(name, 0) + 1
        spans.begin(self.world.now)
        disk.reach(name, away=what == "away", hanging=what == "hanging", slow=0.3 if what == "slow" else 0.0)
        await asyncio.sleep(0.3 + action.how % 11 * 0.5)
        self._cut_off[name] -= 1
        if not self._cut_off[name]:
            disk.reach(name)
            spans.end(self.world.now)

    async def _statement_fails(self, action: Action, replica: Replica) -> None:
        fault = ("reread", "reread", "read", "commit", "cut")[action.how % 5]
        self.world.disk.fail_next(replica.name, fault)

    async def _lend_pool(self, action: Action, replica: Replica) -> None:
        if replica.services is not None:
            await replica.answer(lend_pool(replica.services, 20.0))

    async def _listener_drops(self, action: Action, replica: Replica) -> None:
        for listener in replica.listeners:
            listener.drop()

    async def _restart(self, action: Action, replica: Replica) -> None:
        if replica.services is None:
            return
        crash = action.how % 2
        if crash:
            await self._reach_nothing(replica)
        await replica.end()
        if crash and not self._cut_off.get(replica.name):
            self.world.disk.reach(replica.name)
        await asyncio.sleep(0.1 + action.how % 7 * 0.3)
        replica.start()

    async def _reach_nothing(self, replica: Replica) -> None:
        """A process that crashes writes nothing any more."""
        self.world.disk.reach(replica.name, away=True)

    async def _clock_step(self, action: Action, replica: Replica) -> None:
        step = float(action.how % 19 - 9)
        replica.offset += step
        self.world.model.clock_slack += abs(step)


def _told(error: Exception) -> str:
    refusal = getattr(error, "refusal", None)
    return f"{type(error).__name__} ({refusal.reason if refusal is not None else error})"


_REALMS: dict[str, Callable[[Performer, Action], None]] = {
    "rotate": Performer._rotate,
    "withdraw": Performer._withdraw,
    "not before": Performer._not_before,
    "realm disabled": Performer._disabled,
}
_PROCESSES: dict[str, Callable[[Performer, Action, Replica], Awaitable[None]]] = {
    "realm trouble": Performer._trouble,
    "slow realm": Performer._slow_realm,
    "name server dies": Performer._name_server_dies,
    "database trouble": Performer._database_trouble,
    "statement fails": Performer._statement_fails,
    "lend pool": Performer._lend_pool,
    "listener drops": Performer._listener_drops,
    "restart": Performer._restart,
    "clock step": Performer._clock_step,
}
_ADMIN: dict[str, Callable[[Performer, Action, Replica], Awaitable[None]]] = {
    "onboard": Performer._onboard,
    "organization": Performer._organization,
    "suspend": Performer._move,
    "resume": Performer._move,
    "delete": Performer._move,
    "restore": Performer._move,
    "activate": Performer._activate,
    "purge": Performer._purge,
    "hand over": Performer._hand_over,
    "move url": Performer._move_url,
    "move issuer": Performer._move_issuer,
    "map roles": Performer._map_roles,
    "disable": Performer._enabled,
    "enable": Performer._enabled,
    "remove realm": Performer._remove_realm,
    "add realm": Performer._add_realm,
    "put": Performer._put,
    "refresh keys": Performer._refresh_keys,
}
