"""The key ring of one realm: always usable keys, however the realm behaves.

Lazy first fetch; one fetch at a time, owned by no request; refresh ahead of the end of the lifetime while the realm
is in use; last known good keys served while it cannot be reached, up to the stale limit; a budget for unknown kids
that known kids never wait for. It knows neither HTTP nor the registry: a `KeySource` fetches.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from tenants_api.verification.clocks import Clocks
from tenants_api.verification.errors import KeysUnavailable, Refusal
from tenants_api.verification.jwk import BrokenKeySet, KeySet, VerifyKey, any_lost, parse_key_set
from tenants_api.verification.key_state import FIRST_PATIENCE, KeyPolicy, RingState, left, loop_time
from tenants_api.verification.realms import TrustedRealm
from tenants_api.verification.sources import KeySource, SourceFailed, UsableKeys
from tenants_api.verification.unknown_kids import Budget, UnknownKids

REFRESH_AHEAD = 0.8  # of the lifetime
PATIENCE = 0.5  # seconds that a request with known keys waits for their renewal before stale ones serve
PATIENT = 3 * FIRST_PATIENCE  # seconds; who says nothing else waits for as long as the waits below last
FETCH_DEADLINE = 12.0  # a source has deadlines of its own; this one ends a source that forgot them
FIRST_BACKOFF, LAST_BACKOFF = 0.2, 30.0

RingEvent = Callable[["KeyRing", str], None]  # `fetched`, `failed`, or `not_asked`: an unknown kid over the budget


class KeyRing:
    """The keys of one realm. All times are monotonic seconds."""

    def __init__(
        self,
        realm: TrustedRealm,
        *,
        source: KeySource,
        policy: KeyPolicy,
        clocks: Clocks,
        on_event: RingEvent,
    ) -> None:
        self.realm = realm
        self.state = RingState()
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

    async def get(self, kid: str, *, algorithm: str, patience: float = PATIENT) -> VerifyKey | None:
        """The key of this kid if it may verify this algorithm; None when the realm has no such key.

        `patience` is the seconds that this caller waits in all; what it started goes on without it.

        Raises:
            KeysUnavailable: the realm cannot be reached and no usable keys are left.
        """
        until = loop_time() + patience
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
            most = PATIENCE if self.usable else FIRST_PATIENCE
            await asyncio.wait({self._start()}, timeout=left(until, most=most))
        if not self.usable:
            self._unavailable()

    def _unavailable(self) -> None:
        found = self.state.last_failure
        raise KeysUnavailable(
            Refusal("key", "keys_unavailable", expected="keys of the realm", found=found),
            retry_after=self._retry_at - self._clock(),
        )

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
        budget = self._unknown.budget_of(kid)
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

    def _look(self, budget: Budget) -> None:
        budget.spend(self._clock())
        self._start()

    async def _settled(self, until: float) -> None:
        if self._refresh is not None:
            await asyncio.wait({self._refresh}, timeout=left(until))

    def _start(self) -> asyncio.Task[None]:
        """The fetch under way, or a new one. It belongs to the ring: a caller that goes away does not end it."""
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
        self.state = RingState(
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
