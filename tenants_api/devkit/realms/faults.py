"""The switches that make a development realm misbehave. Knows no web framework: `switched.py` acts on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


class UnknownFault(ValueError):
    """A switch that does not exist, or a value of the wrong type; the text names both."""


@dataclass(slots=True)
class Faults:
    """All off by default. Set the fields while the realm serves; the next request sees them.

    Of every endpoint: `down` answers 503, `hang` never answers, `slow_seconds` answers late, `redirect_to` answers 302.
    Of discovery: `wrong_issuer` stands in the document. Of discovery and certs: `garbage` answers 200 with HTML.
    Of certs: `huge` streams 10 MB of JSON, `empty_keys` an empty set, `extra_keys` are added to the set,
    `fail_next` is how many of the next requests answer 500.
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
        """Set some switches from JSON, all or none. Raises `UnknownFault`."""
        for name, value in switches.items():
            if not _fits(name, value):
                raise UnknownFault(f"no switch {name!r} takes {value!r}; there are {', '.join(_TYPES)}")
        for name, value in switches.items():
            setattr(self, name, value)

    def clear(self) -> None:
        """All off again."""
        off = Faults()
        for entry in fields(self):
            setattr(self, entry.name, getattr(off, entry.name))

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def take_failure(self) -> bool:
        """True while `fail_next` is above zero; counts it down."""
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
    if isinstance(value, bool):  # a bool is an int to Python, not to a reader of JSON
        return bool in allowed
    if name == "extra_keys" and isinstance(value, list):
        return all(isinstance(key, dict) for key in value)
    return isinstance(value, allowed)
