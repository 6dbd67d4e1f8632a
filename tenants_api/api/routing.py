"""Which path is asked for, and several routers as one that is passed over where none of its routes can have it."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope


class JoinedRouter(APIRouter):
    """Knows the beginnings of its routes' paths, and searches its routes for no other path.

    FastAPI asks each route of each router until one matches, a microsecond or two each; a team's routes stand behind
    all of ours. `within` are the beginnings of the places where it is included with a prefix. ValueError for a mount
    or a WebSocket among the routes.
    """

    def __init__(self, routers: Sequence[APIRouter], *, within: Sequence[str] = ()) -> None:
        super().__init__(routes=[route for router in routers for route in router.routes])
        paths = [route.path for route in self.routes if isinstance(route, APIRoute)]
        if len(paths) != len(self.routes):
            raise ValueError("only routes of FastAPI's own are joined: of others the beginning is not known")
        self._whole = frozenset(path for path in paths if "{" not in path)
        self._beginnings = tuple({path.partition("{")[0] for path in paths if "{" in path} | set(within))

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As any router's; without a look at the routes where none can match."""
        path = own_path(scope)
        if path not in self._whole and not path.startswith(self._beginnings):
            return Match.NONE, {}
        return super().matches(scope)


def own_path(scope: Scope) -> str:
    """The path below the place where the application is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path
