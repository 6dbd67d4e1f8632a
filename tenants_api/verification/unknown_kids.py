"""The budget for kids that a realm's known keys lack: when the realm may be asked again for their sake.

Knows no keys and fetches nothing. All times are monotonic seconds; docs/decisions/0001 says why it is so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

FIRST_PAUSE, LAST_PAUSE = 0.25, 1.0  # seconds between two looks
PATIENT_LOOKS = 3  # looks in vain after which nobody waits for the next
MAX_MISSED, LONGEST_MISSED = 16, 64  # kids that are remembered as asked for in vain, and their characters


class Budget:
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
        self._fresh, self._repeated = Budget(), Budget()
        self._missed: dict[str, None] = {}

    def budget_of(self, kid: str) -> Budget:
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
