"""The two clocks. Lifetimes use the monotonic one, which steps of the wall clock do not affect."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Clocks:
    """`wall` (epoch seconds) for claims, `monotonic` (seconds) for lifetimes."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic

    def now(self) -> datetime:
        """The wall clock as an aware UTC time."""
        return datetime.fromtimestamp(self.wall(), UTC)
