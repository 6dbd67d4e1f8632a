"""Several routers as one, which is passed over at once for a path that none of their routes can have."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match, get_route_path
from starlette.types import Scope


class JoinedRouter(APIRouter):
    """Knows the beginnings of its routes' paths, and searches its routes for no other path.

    FastAPI asks each route of each router until one matches, a microsecond or two each; a team's routes stand behind
    all of ours. `within` are the beginnings of the places where it is included with a prefix.
    """

    def __init__(self, routers: Sequence[APIRouter], *, within: Sequence[str] = ()) -> None:
        super().__init__(routes=[route for router in routers for route in router.routes])
        paths = [route.path for route in self.routes if isinstance(route, APIRoute)]
        self._whole = frozenset(path for path in paths if "{" not in path)
        self._beginnings = tuple({path.partition("{")[0] for path in paths if "{" in path} | set(within))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As any router's; without a look at the routes where none can match."""
        path = get_route_path(scope)
        if path not in self._whole and not path.startswith(self._beginnings):
            return Match.NONE, {}
        return super().matches(scope)
