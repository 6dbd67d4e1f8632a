"""The faults of a development realm as values; `app.py` applies them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


class UnknownFault(ValueError):
    """An unknown fault, or a value of the wrong type; the text has both."""


@dataclass(slots=True)
class Faults:
    """All off by default. The next request sees a change.

    Every endpoint: `down` responds with 503, `hang` does not respond, `slow_seconds` delays, `redirect_to` responds
    with 302. Discovery: `wrong_issuer` replaces the issuer. Discovery and certs: `garbage` responds with HTML. Certs:
    `huge` streams 10 MB of JSON, `empty_keys` is an empty set, `extra_keys` are added to the set, `fail_next` is the
    number of next requests that respond with 500.
    """

    down: bool = False
    hang: bool = False
    slow_seconds: float = 0.0
    redirect_to: str | None = None
    wrong_issuer: str | None = None
    garbage: bool = False
    huge: bool = False
    empty_keys: bool = False
    extra_keys: list[dict[str, Any]] = field(default_factory=list)
    fail_next: int = 0

    def update(self, switches: Mapping[str, object]) -> None:
        """Set faults from JSON, all or none. Raises `UnknownFault`."""
        for name, value in switches.items():
            if not _fits(name, value):
                raise UnknownFault(f"no fault {name!r} with a value {value!r}; the faults are {', '.join(_TYPES)}")
        for name, value in switches.items():
            setattr(self, name, value)

    def clear(self) -> None:
        """Switch all faults off."""
        off = Faults()
        for entry in fields(self):
            setattr(self, entry.name, getattr(off, entry.name))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def take_failure(self) -> bool:
        """Decrement `fail_next`; False if it is zero."""
        if self.fail_next <= 0:
            return False
        self.fail_next -= 1
        return True


_NUMBER: tuple[type, ...] = (int, float)
_OPTIONAL_TEXT: tuple[type, ...] = (str, type(None))
_TYPES: dict[str, tuple[type, ...]] = {
    "down": (bool,),
    "hang": (bool,),
    "slow_seconds": _NUMBER,
    "redirect_to": _OPTIONAL_TEXT,
    "wrong_issuer": _OPTIONAL_TEXT,
    "garbage": (bool,),
    "huge": (bool,),
    "empty_keys": (bool,),
    "extra_keys": (list,),
    "fail_next": (int,),
}


def _fits(name: str, value: object) -> bool:
    allowed = _TYPES.get(name, ())
    if isinstance(value, bool):  # an int in Python, but not in JSON
        return bool in allowed
    if name == "extra_keys" and isinstance(value, list):
        return all(isinstance(key, dict) for key in value)
    return isinstance(value, allowed)
