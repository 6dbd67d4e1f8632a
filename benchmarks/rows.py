"""A figure of the table, with its source and bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A figure: value `name` of a module, with its bound `must` and its target `reach`."""

    what: str
    module: str
    name: str
    must: float
    reach: float | None = None
    at_least: bool = False

    def met(self, value: float, *, bound: float | None) -> bool:
        if bound is None:
            return False
        return value >= bound if self.at_least else value <= bound

    def used(self, value: float) -> float:
        """The part of the bound that a value uses; above 1 the bound is exceeded."""
        part, whole = (self.must, value) if self.at_least else (value, self.must)
        return part / whole if whole else math.inf if part else 0.0
