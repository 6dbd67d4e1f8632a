"""The two clocks. Lifetimes use the monotonic one, so that a step of the wall clock ends no key and no cached token."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Clocks:
    """`wall` (epoch seconds) for claims, `monotonic` for lifetimes. Tests hand in their own."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    def now(self) -> datetime:
        """The wall clock as an aware UTC time."""
        return datetime.fromtimestamp(self.wall(), UTC)
