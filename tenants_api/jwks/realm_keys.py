"""The keys of one realm: usable, however the realm behaves.

Lazy first fetch; one fetch at a time, owned by no request; refresh ahead of the end of the lifetime while the realm
is in use; last known good keys served while it cannot be reached, up to the stale limit; a budget for unknown kids
that known kids never wait for. It knows neither HTTP nor the registry: a `KeySource` fetches.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tenants_api.clocks import Clocks
from tenants_api.jwks.parse import BrokenKeySet, KeySet, VerifyKey, any_lost, parse_key_set


class KeyOwner(Protocol):
    """The realm that keys are of, as far as its keys need it."""

    id: uuid.UUID
    issuer: str
    realm_url: str
    ca_bundle: str | None
    renew_at: float

    def forget_verified(self) -> None:
        """Every token that was verified for this realm must be verified again."""


class NoUsableKeys(Exception):
    """A realm cannot be reached and no usable keys are left.

    `failure` is the reason of the last fetch, None without one; `retry_after` is in seconds.
    """

    def __init__(self, failure: str | None, *, retry_after: float) -> None:
        self.failure, self.retry_after = failure, retry_after
        super().__init__(failure or "no keys")


class SourceFailed(Exception):
    """The realm's keys could not be fetched; `reason` is a stable code (`Unreachable`, `HttpStatus`, …)."""

    def __init__(self, reason: str, *, message: str = "") -> None:
        self.reason = reason
        super().__init__(message or reason)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a realm answered: its JWKS, and its status where that could be read (None = could not)."""

    jwks: bytes
    not_before: int | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class UsableKeys:
    """What a realm answered, once its keys were read and its status is known."""

    keys: KeySet
    not_before: int
    enabled: bool


class KeySource(Protocol):
    """Fetches the keys and the status of a realm. It limits how many fetches run at once."""

    async def fetch(self, realm: KeyOwner) -> Fetched:
        """Raises SourceFailed."""


FIRST_PAUSE, LAST_PAUSE = 0.25, 1.0  # seconds between two looks
PATIENT_LOOKS = 3  # looks in vain after which nobody waits for the next
MAX_MISSED, LONGEST_MISSED = 16, 64  # kids that are remembered as asked for in vain, and their characters


class RefetchLimiter:
    """Each look doubles the pause before the next; a new key resets it."""

    __slots__ = ("_in_vain", "_later", "_next")

    def __init__(self) -> None:
        self._in_vain, self._next = 0, 0.0
        self._later: asyncio.TimerHandle | None = None

    def pause(self, now: float) -> float:
        """Seconds until the next look is allowed; zero or less when it is."""
        return self._next - now

    @property
    def flooded(self) -> bool:
        """Whether so much was asked in vain that nobody should wait any more."""
        return self._in_vain >= PATIENT_LOOKS

    def spend(self, now: float) -> None:
        self.cancel()
        self._next = now + min(FIRST_PAUSE * 2**self._in_vain, LAST_PAUSE)
        self._in_vain = min(self._in_vain + 1, 16)

    def spend_later(self, look: Callable[[], None], *, pause: float) -> None:
        """Have one look in the background, however many ask for it."""
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(pause, look)

    def reset(self) -> None:
        self._in_vain, self._next = 0, 0.0

    def cancel(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None


class UnknownKids:
    """Two budgets: for kids seen for the first time, and for those that the realm was asked for in vain.

    So a caller that goes on with a withdrawn key's token, or one forger, spends nothing that a rotated key needs.
    """

    __slots__ = ("_fresh", "_missed", "_repeated")

    def __init__(self) -> None:
        self._fresh, self._repeated = RefetchLimiter(), RefetchLimiter()
        self._missed: dict[str, None] = {}

    def limiter_of(self, kid: str) -> RefetchLimiter:
        return self._repeated if kid in self._missed else self._fresh

    def miss(self, kid: str) -> None:
        """The realm was asked for its sake, and did not answer or does not have it."""
        if kid in self._missed or len(kid) > LONGEST_MISSED:
            return
        if len(self._missed) >= MAX_MISSED:
            del self._missed[next(iter(self._missed))]
        self._missed[kid] = None

    def reset(self) -> None:
        """A new key has come: whatever waits may be it."""
        for budget in (self._fresh, self._repeated):
            budget.reset()

    def cancel(self) -> None:
        """No more looks; for shutdown."""
        for budget in (self._fresh, self._repeated):
            budget.cancel()


FIRST_KEYS_WAIT_SECONDS = 6.0  # seconds that a request waits for keys without which it cannot be answered


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Seconds. After `lifetime` keys are fetched anew; until `stale_limit` old ones serve an unreachable realm."""

    lifetime: float = 300.0
    stale_limit: float = 86_400.0


@dataclass(slots=True)
class KeySetState:
    """What is known of a realm's keys now. Times are monotonic seconds; `source` is `live` or `stored`."""

    keys: KeySet | None = None
    fetched_at: float = 0.0
    source: str | None = None
    not_before: int = 0
    enabled: bool = True
    failures: int = 0
    last_failure: str | None = None
    fetches: int = field(default=0)
    took: float = 0.0  # seconds of the last fetch


def loop_time() -> float:
    """The event loop's own time, in which its timeouts are counted."""
    return asyncio.get_running_loop().time()


def left(until: float, *, most: float = FIRST_KEYS_WAIT_SECONDS) -> float:
    """Seconds until then, `most` at most and never below zero."""
    return max(0.0, min(until - loop_time(), most))


REFRESH_AHEAD = 0.8  # of the lifetime
RENEWAL_WAIT_SECONDS = 0.5  # a request with known keys waits for their renewal before stale ones are used
MAX_KEY_WAIT_SECONDS = 3 * FIRST_KEYS_WAIT_SECONDS  # the default of a caller: as long as the waits below
FETCH_DEADLINE = 12.0  # a source has deadlines of its own; this one ends a source that forgot them
FIRST_BACKOFF, LAST_BACKOFF = 0.2, 30.0

KeySetEvent = Callable[["RealmKeys", str], None]  # `fetched`, `failed`, or `not_asked`: an unknown kid over the budget


class RealmKeys:
    """The keys of one realm. All times are monotonic seconds."""

    def __init__(
        self,
        realm: KeyOwner,
        *,
        source: KeySource,
        policy: KeyPolicy,
        clocks: Clocks,
        on_event: KeySetEvent,
    ) -> None:
        self.realm = realm
        self.state = KeySetState()
        self._source, self._policy = source, policy
        self._clocks, self._clock, self._on_event = clocks, clocks.monotonic, on_event
        self._refresh: asyncio.Task[None] | None = None
        self._retry_at = 0.0
        self._ahead = REFRESH_AHEAD + random.uniform(-0.05, 0.05)  # noqa: S311 (jitter, not a secret)
        self._unknown = UnknownKids()

    def ready(self, kid: str, *, algorithm: str) -> VerifyKey | None:
        """The key, if it is there and nothing has to be done for the keys; else ask `get`."""
        state = self.state
        if state.keys is None or self._clock() - state.fetched_at > self._ahead * self._policy.lifetime:
            return None
        return _fitting(state.keys.keys.get(kid), algorithm=algorithm)

    async def get(self, kid: str, *, algorithm: str, max_wait: float = MAX_KEY_WAIT_SECONDS) -> VerifyKey | None:
        """The key of this kid if it may verify this algorithm; None when the realm has no such key.

        `max_wait` is the seconds that this caller waits in all; what it started goes on without it.

        Raises:
            NoUsableKeys: the realm cannot be reached and no usable keys are left.
        """
        until = loop_time() + max_wait
        await self._ensure_keys(until)
        if self._find(kid, algorithm=algorithm) is None:
            await self._look_again(kid, algorithm=algorithm, until=until)
        return self._find(kid, algorithm=algorithm)

    def restore(self, jwks: bytes, *, age: float, not_before: int, enabled: bool) -> None:
        """Take a stored key set that is `age` seconds old; one that is not newer than the present set is ignored."""
        fetched_at = self._clock() - age
        if not self._is_newer(fetched_at):
            return
        try:
            keys = parse_key_set(jwks, present=self.state.keys)
        except BrokenKeySet:
            return
        self._take(keys, fetched_at=fetched_at, not_before=not_before, enabled=enabled, source="stored")

    def adopt(self, fetched: UsableKeys, *, age: float) -> None:
        """Take keys that somebody else has fetched from the realm, as `restore`."""
        fetched_at = self._clock() - age
        if self._is_newer(fetched_at):
            self._take(
                fetched.keys,
                fetched_at=fetched_at,
                not_before=fetched.not_before,
                enabled=fetched.enabled,
                source="live",
            )

    def _is_newer(self, fetched_at: float) -> bool:
        return self.state.keys is None or fetched_at > self.state.fetched_at

    async def refresh(self) -> str | None:
        """Fetch now, whatever the age. Gives None, or the reason of the failure.

        A fetch that began before may bring what the realm has just withdrawn: it is waited for, and does not count.
        """
        if self._refresh is not None:
            await asyncio.wait({self._refresh})
        await asyncio.wait({self._start()})
        return self.state.last_failure

    @property
    def fresh(self) -> bool:
        """Whether the keys are within their lifetime."""
        return self.state.keys is not None and self._age() <= self._policy.lifetime

    @property
    def usable(self) -> bool:
        """Whether the keys may serve: within the stale limit at least."""
        return self.state.keys is not None and self._age() <= max(self._policy.lifetime, self._policy.stale_limit)

    @property
    def next_refresh(self) -> float:
        """When the keys are renewed at the next use (monotonic seconds); until then cached tokens need no look."""
        due = max(self.state.fetched_at + self._ahead * self._policy.lifetime, self._retry_at)
        return min(due, self.state.fetched_at + max(self._policy.lifetime, self._policy.stale_limit))

    @property
    def age(self) -> float | None:
        """Seconds since the keys were fetched; None without any."""
        return self._age() if self.state.keys is not None else None

    @property
    def fetching(self) -> bool:
        """Whether a fetch is under way."""
        return self._refresh is not None

    def cancel(self) -> None:
        """End a fetch that is under way; for shutdown."""
        if self._refresh is not None:
            self._refresh.cancel()
        self._unknown.cancel()

    def _find(self, kid: str, *, algorithm: str) -> VerifyKey | None:
        return _fitting(self.state.keys.keys.get(kid), algorithm=algorithm) if self.state.keys is not None else None

    def _age(self) -> float:
        return self._clock() - self.state.fetched_at

    async def _ensure_keys(self, until: float) -> None:
        if self.state.keys is None:
            await self._first(until)
        elif not self.fresh:
            await self._renew(until)
        elif self._age() > self._ahead * self._policy.lifetime and self._may_try():
            self._start()

    async def _first(self, until: float) -> None:
        if self._refresh is not None or self._may_try():
            await asyncio.wait({self._start()}, timeout=left(until))
        if self.state.keys is None:
            self._unavailable()

    async def _renew(self, until: float) -> None:
        """The keys are over their lifetime: a short wait for new ones, then the old ones up to the stale limit."""
        if self._may_try() or self._refresh is not None:
            most = RENEWAL_WAIT_SECONDS if self.usable else FIRST_KEYS_WAIT_SECONDS
            await asyncio.wait({self._start()}, timeout=left(until, most=most))
        if not self.usable:
            self._unavailable()

    def _unavailable(self) -> None:
        raise NoUsableKeys(self.state.last_failure, retry_after=self._retry_at - self._clock())

    def _may_try(self) -> bool:
        return self._clock() >= self._retry_at

    async def _look_again(self, kid: str, *, algorithm: str, until: float) -> None:
        """A kid that the known keys lack, or lack for this algorithm: one shared fetch if the budget allows.

        The caller waits for its turn briefly. Each fetch that brings nothing new doubles the pause before the next
        (0.25 s to 1 s); one that brings a new key resets it. After three in vain it is a flood: nobody waits any more,
        and the next fetch, at its turn, is in the background. So invented kids cost the realm a fetch a second at most
        and hold up nobody, and a key that is really new is accepted within that second. Kids that come again have a
        budget of their own.
        """
        begun = self.state.fetches
        if self._refresh is not None:
            await self._settled(until)  # it began before this token came, so it may or may not bring the key
            if self._find(kid, algorithm=algorithm) is not None:
                return
        # Not the back-off after failures: a realm that comes back with a new key issues tokens before we ask again.
        budget = self._unknown.limiter_of(kid)
        pause = budget.pause(self._clock())
        if pause > 0 and (budget.flooded or pause > left(until)):
            budget.spend_later(lambda: self._look(budget), pause=pause)
            self._on_event(self, "not_asked")
            return
        if pause > 0:
            await asyncio.sleep(pause)
        if self.state.fetches == begun:  # nobody else has looked meanwhile
            self._look(budget)
        await self._settled(until)
        if self._find(kid, algorithm=algorithm) is None:
            self._unknown.miss(kid)

    def _look(self, budget: RefetchLimiter) -> None:
        budget.spend(self._clock())
        self._start()

    async def _settled(self, until: float) -> None:
        if self._refresh is not None:
            await asyncio.wait({self._refresh}, timeout=left(until))

    def _start(self) -> asyncio.Task[None]:
        """The fetch under way, or a new one. It belongs to these keys: a caller that goes away does not end it."""
        if self._refresh is None:
            self._refresh = asyncio.create_task(self._run(), name=f"keys of {self.realm.issuer}")
            self._refresh.add_done_callback(self._ended)
        return self._refresh

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._refresh = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed("Unexpected")
            asyncio.get_running_loop().call_exception_handler({"message": "a key fetch broke", "exception": error})

    async def _run(self) -> None:
        self.state.fetches += 1
        begun = self._clock()
        try:
            async with asyncio.timeout(FETCH_DEADLINE):
                try:
                    fetched = await self._source.fetch(self.realm)
                finally:
                    self.state.took = self._clock() - begun
            keys = parse_key_set(fetched.jwks, present=self.state.keys)
        except SourceFailed as failure:
            self._failed(failure.reason)
        except TimeoutError:
            self._failed("TimedOut")
        except BrokenKeySet as broken:
            self._failed(broken.reason)  # and never in place of a good set
        else:
            state = self.state
            if state.keys is not None and state.fetched_at > begun:
                # Another replica asked later and was quicker: what it brought is newer than this answer.
                self._on_event(self, "fetched")
                return
            self._take(
                keys,
                fetched_at=begun,  # the realm may have answered before it withdrew a key, however late we read that
                not_before=state.not_before if fetched.not_before is None else fetched.not_before,
                enabled=state.enabled if fetched.enabled is None else fetched.enabled,
                source="live",
            )
            self._on_event(self, "fetched")

    def _failed(self, reason: str) -> None:
        backoff = min(FIRST_BACKOFF * 2**self.state.failures, LAST_BACKOFF)
        self.state.failures = min(self.state.failures + 1, 16)
        self.state.last_failure = reason
        self._retry_at = self._clock() + backoff * random.uniform(0.8, 1.2)  # noqa: S311 (jitter, not a secret)
        self.realm.renew_at = self.next_refresh
        self._on_event(self, "failed")

    def _take(self, keys: KeySet, *, fetched_at: float, not_before: int, enabled: bool, source: str) -> None:
        before = self.state
        known = before.keys.keys if before.keys is not None else {}
        if any_lost(known, now=keys.keys) or not_before != before.not_before or enabled != before.enabled:
            self.realm.forget_verified()
        if any_lost(keys.keys, now=known):  # seen from the new set: it has what the one before had not
            self._unknown.reset()
        for kid, key in keys.keys.items():
            same = kid in known and known[kid].shares(key)
            key.first_seen = known[kid].first_seen if same else self._clocks.wall()
            key.last_used = known[kid].last_used if same else None
        self.state = KeySetState(
            keys,
            fetched_at,
            source,
            not_before,
            enabled,
            failures=0,
            last_failure=None,
            fetches=before.fetches,
            took=before.took,
        )
        self._retry_at = 0.0
        self.realm.renew_at = self.next_refresh


def _fitting(key: VerifyKey | None, *, algorithm: str) -> VerifyKey | None:
    return key if key is not None and algorithm in key.materials else None
