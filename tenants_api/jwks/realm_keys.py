"""The keys of one realm.

Lazy first fetch; one fetch at a time, owned by no request; refresh ahead of the end of the lifetime while the realm
is in use; last known good keys served while it cannot be reached, up to the stale limit; a refetch limiter for unknown
kids that known kids never wait for. Knows neither HTTP nor the registry: a `KeySource` fetches.
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
    """What `RealmKeys` needs of its realm."""

    id: uuid.UUID
    issuer: str
    realm_url: str
    ca_bundle: str | None
    renew_at: float

    def forget_verified(self) -> None:
        """Invalidate every cached token of this realm."""


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
    """The response of a realm: its JWKS, and its status (None where that could not be read)."""

    jwks: bytes
    not_before: int | None = None
    enabled: bool | None = None


@dataclass(frozen=True, slots=True)
class UsableKeys:
    """The parsed response of a realm."""

    keys: KeySet
    not_before: int
    enabled: bool


class KeySource(Protocol):
    """Fetches the keys and the status of a realm, and limits the concurrent fetches."""

    async def fetch(self, realm: KeyOwner) -> Fetched:
        """Raises SourceFailed."""


FIRST_REFETCH_PAUSE_SECONDS, MAX_REFETCH_PAUSE_SECONDS = 0.25, 1.0
MAX_AWAITED_REFETCHES = 3  # without a new key; no request waits for later ones
MAX_MISSED_KIDS, MAX_MISSED_KID_CHARACTERS = 16, 64  # bound `UnknownKids`


class RefetchLimiter:
    """Limits the rate of refetches: each one doubles the pause before the next, a new key resets it."""

    __slots__ = ("_later", "_misses", "_next")

    def __init__(self) -> None:
        self._misses, self._next = 0, 0.0
        self._later: asyncio.TimerHandle | None = None

    def pause(self, now: float) -> float:
        """Seconds until the next refetch is allowed; zero or less when it is."""
        return self._next - now

    @property
    def flooded(self) -> bool:
        """Whether so many refetches brought no new key that requests do not wait for the next."""
        return self._misses >= MAX_AWAITED_REFETCHES

    def spend(self, now: float) -> None:
        self.cancel()
        self._next = now + min(FIRST_REFETCH_PAUSE_SECONDS * 2**self._misses, MAX_REFETCH_PAUSE_SECONDS)
        self._misses = min(self._misses + 1, 16)

    def spend_in_background(self, refetch: Callable[[], None], *, pause: float) -> None:
        """Schedule one refetch for all requests that call this meanwhile."""
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(pause, refetch)

    def reset(self) -> None:
        self._misses, self._next = 0, 0.0

    def cancel(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None


class UnknownKids:
    """Two refetch limiters: one for new kids, one for kids that an earlier refetch did not bring.

    So repeated tokens of a withdrawn or invented key do not delay the refetch for a rotated one.
    """

    __slots__ = ("_fresh", "_missed", "_repeated")

    def __init__(self) -> None:
        self._fresh, self._repeated = RefetchLimiter(), RefetchLimiter()
        self._missed: dict[str, None] = {}

    def limiter_of(self, kid: str) -> RefetchLimiter:
        return self._repeated if kid in self._missed else self._fresh

    def miss(self, kid: str) -> None:
        """Record that a refetch did not bring this kid."""
        if kid in self._missed or len(kid) > MAX_MISSED_KID_CHARACTERS:
            return
        if len(self._missed) >= MAX_MISSED_KIDS:
            del self._missed[next(iter(self._missed))]
        self._missed[kid] = None

    def reset(self) -> None:
        """Allow a refetch at once; for a new key in the set."""
        for limiter in (self._fresh, self._repeated):
            limiter.reset()

    def cancel(self) -> None:
        """Cancel scheduled refetches; for shutdown."""
        for limiter in (self._fresh, self._repeated):
            limiter.cancel()


FIRST_KEYS_WAIT_SECONDS = 6.0  # that a request waits where no usable keys are known


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Seconds: keys are fetched again after `lifetime`, and used up to `stale_limit` while the realm is unreachable."""

    lifetime: float = 300.0
    stale_limit: float = 86_400.0


@dataclass(slots=True)
class KeySetState:
    """The present keys of a realm. Times are monotonic seconds; `source` is `live` or `stored`."""

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
    """The event loop's time, in which its timeouts are counted."""
    return asyncio.get_running_loop().time()


def left(until: float, *, most: float = FIRST_KEYS_WAIT_SECONDS) -> float:
    """Seconds until this loop time, from 0 to `most`."""
    return max(0.0, min(until - loop_time(), most))


REFRESH_AHEAD = 0.8  # of the lifetime
RENEWAL_WAIT_SECONDS = 0.5  # that a request waits for a renewal before it uses stale keys
MAX_KEY_WAIT_SECONDS = 3 * FIRST_KEYS_WAIT_SECONDS  # the default `max_wait`: as long as the waits below in all
FETCH_DEADLINE_SECONDS = 12.0  # for sources without shorter deadlines of their own
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.2, 30.0

KeySetEvent = Callable[["RealmKeys", str], None]  # `fetched`, `failed`, or `not_asked`: the limiter postponed a refetch


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
        """The key without a wait; None when it is missing or the keys need renewal: call `get`."""
        state = self.state
        if state.keys is None or self._clock() - state.fetched_at > self._ahead * self._policy.lifetime:
            return None
        return _fitting(state.keys.keys.get(kid), algorithm=algorithm)

    async def get(self, kid: str, *, algorithm: str, max_wait: float = MAX_KEY_WAIT_SECONDS) -> VerifyKey | None:
        """The key of this kid if it may verify this algorithm; None when the realm has no such key.

        `max_wait` is how many seconds this caller waits in all; a fetch continues without it.

        Raises:
            NoUsableKeys: the realm cannot be reached and no usable keys are left.
        """
        until = loop_time() + max_wait
        await self._ensure_keys(until)
        if self._find(kid, algorithm=algorithm) is None:
            await self._refetch(kid, algorithm=algorithm, until=until)
        return self._find(kid, algorithm=algorithm)

    def restore(self, jwks: bytes, *, age: float, not_before: int, enabled: bool) -> None:
        """Use a stored key set that is `age` seconds old, if it is newer than the present set."""
        fetched_at = self._clock() - age
        if not self._is_newer(fetched_at):
            return
        try:
            keys = parse_key_set(jwks, present=self.state.keys)
        except BrokenKeySet:
            return
        self._take(keys, fetched_at=fetched_at, not_before=not_before, enabled=enabled, source="stored")

    def adopt(self, fetched: UsableKeys, *, age: float) -> None:
        """Use keys that were fetched outside this object `age` seconds ago, if they are newer than the present set."""
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
        """Fetch now, whatever the age. Returns None, or the reason of the failure."""
        if self._refresh is not None:
            await asyncio.wait({self._refresh})  # it may bring a key that the realm has withdrawn since it began
        await asyncio.wait({self._start()})
        return self.state.last_failure

    @property
    def fresh(self) -> bool:
        """Whether the keys are within their lifetime."""
        return self.state.keys is not None and self._age() <= self._policy.lifetime

    @property
    def usable(self) -> bool:
        """Whether the keys are within the stale limit."""
        return self.state.keys is not None and self._age() <= max(self._policy.lifetime, self._policy.stale_limit)

    @property
    def next_refresh(self) -> float:
        """When the keys are to be renewed (monotonic seconds); cached tokens are valid until then."""
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
        """Wait briefly for new keys in place of outdated ones, which are used up to the stale limit."""
        if self._may_try() or self._refresh is not None:
            most = RENEWAL_WAIT_SECONDS if self.usable else FIRST_KEYS_WAIT_SECONDS
            await asyncio.wait({self._start()}, timeout=left(until, most=most))
        if not self.usable:
            self._unavailable()

    def _unavailable(self) -> None:
        raise NoUsableKeys(self.state.last_failure, retry_after=self._retry_at - self._clock())

    def _may_try(self) -> bool:
        return self._clock() >= self._retry_at

    async def _refetch(self, kid: str, *, algorithm: str, until: float) -> None:
        """Fetch the keys for a kid that they lack, or lack for this algorithm, within the limits of `UnknownKids`.

        Requests share the fetch. After three fetches without a new key (a flood) no request waits: the next fetch is in
        the background, a second later at most. So invented kids cost the realm one fetch a second, and a new key is
        accepted within that second.
        """
        begun = self.state.fetches
        if self._refresh is not None:
            await self._settled(until)  # it began before this request, so it may or may not bring the key
            if self._find(kid, algorithm=algorithm) is not None:
                return
        # Not the back-off after failures: a realm that recovers with a new key issues tokens before the next retry.
        limiter = self._unknown.limiter_of(kid)
        pause = limiter.pause(self._clock())
        if pause > 0 and (limiter.flooded or pause > left(until)):
            limiter.spend_in_background(lambda: self._start_refetch(limiter), pause=pause)
            self._on_event(self, "not_asked")
            return
        if pause > 0:
            await asyncio.sleep(pause)
        if self.state.fetches == begun:  # no other request has started a fetch meanwhile
            self._start_refetch(limiter)
        await self._settled(until)
        if self._find(kid, algorithm=algorithm) is None:
            self._unknown.miss(kid)

    def _start_refetch(self, limiter: RefetchLimiter) -> None:
        limiter.spend(self._clock())
        self._start()

    async def _settled(self, until: float) -> None:
        if self._refresh is not None:
            await asyncio.wait({self._refresh}, timeout=left(until))

    def _start(self) -> asyncio.Task[None]:
        """The fetch under way, or a new one; a caller that is cancelled does not end it."""
        if self._refresh is None:
            self._refresh = asyncio.create_task(self._run(), name=f"keys of {self.realm.issuer}")
            self._refresh.add_done_callback(self._ended)
        return self._refresh

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._refresh = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed("Unexpected")
            context = {"message": "a key fetch failed unexpectedly", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    async def _run(self) -> None:
        self.state.fetches += 1
        begun = self._clock()
        try:
            async with asyncio.timeout(FETCH_DEADLINE_SECONDS):
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
            self._failed(broken.reason)  # the present set stays
        else:
            state = self.state
            if state.keys is not None and state.fetched_at > begun:
                # Another replica started its fetch later and was faster: its keys are newer than these.
                self._on_event(self, "fetched")
                return
            self._take(
                keys,
                fetched_at=begun,  # the realm may have responded before it withdrew a key, however late that is read
                not_before=state.not_before if fetched.not_before is None else fetched.not_before,
                enabled=state.enabled if fetched.enabled is None else fetched.enabled,
                source="live",
            )
            self._on_event(self, "fetched")

    def _failed(self, reason: str) -> None:
        backoff = min(FIRST_BACKOFF_SECONDS * 2**self.state.failures, MAX_BACKOFF_SECONDS)
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
        if any_lost(keys.keys, now=known):  # the new set has a key that the previous one lacks
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
