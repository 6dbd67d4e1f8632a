"""A realm's key ring as an admin sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from tenants_api.verification.clocks import Clocks
from tenants_api.verification.keys import KeyRing


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """One key of a realm as an admin sees it."""

    kid: str
    alg: str
    use: str
    first_seen: datetime | None
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class KeyReport:
    """A realm's key ring as an admin sees it; `source` is `live`, `stored` or None (never fetched)."""

    keys: tuple[KeyInfo, ...]
    fetched_at: datetime | None
    next_refresh: datetime | None
    source: str | None


def key_report(ring: KeyRing | None, *, clocks: Clocks) -> KeyReport:
    """What a ring holds; nothing where there is no ring, or no key was ever fetched."""
    if ring is None or ring.state.keys is None:
        return KeyReport((), None, None, None)
    state = ring.state
    keys = tuple(
        KeyInfo(key.kid, "/".join(sorted(key.algorithms)), "sig", _epoch(key.first_seen), _epoch(key.last_used))
        for key in ring.state.keys.keys.values()
    )
    fetched, due = (wall_time(one, clocks=clocks) for one in (state.fetched_at, ring.next_refresh))
    return KeyReport(keys, fetched, due, state.source)


def wall_time(monotonic: float, *, clocks: Clocks) -> datetime:
    """A moment of the monotonic clock as a UTC time."""
    return datetime.fromtimestamp(clocks.wall() - (clocks.monotonic() - monotonic), UTC)


def _epoch(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
