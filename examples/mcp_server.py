"""An MCP server whose tenants sign in at realms of their own: one endpoint a tenant, `/t/{slug}/mcp`.

A client that knows only that URL is refused with 401, reads in the answer where the tenant's metadata stands
(RFC 9728), finds the tenant's realm there, signs in, and comes back with a token of that realm.

uvicorn --factory examples.mcp_server:create
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Response
from mcp.server.mcpserver import Context, MCPServer
from starlette.types import Receive, Scope, Send

from tenants_api import Principal, Settings, Tenancy, requires

Viewer = Annotated[Principal, requires("viewer")]


class Handled(Response):
    """Leaves the answer to the MCP library, and the principal where its tools find it."""

    def __init__(self, server: MCPServer, caller: Principal) -> None:
        self.background, self._server, self._caller = None, server, caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {**scope.get("state", {}), "caller": self._caller}
        await self._server.session_manager.handle_request(scope, receive, send)


async def whoami(context: Context[Any, Any]) -> str:
    """Who the caller is, and for which tenant."""
    caller: Principal = context.request_context.request.state.caller  # type: ignore[union-attr]
    return f"{caller.username} of {caller.tenant.name}: {', '.join(sorted(caller.roles))}"


def create(settings: Settings | None = None) -> FastAPI:
    tenancy = Tenancy(settings)
    server = MCPServer("tenants")
    server.tool()(whoami)
    server.streamable_http_app(stateless_http=True, json_response=True)  # makes the session manager

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with tenancy.running(), server.session_manager.run():
            yield

    async def mcp(tenant_slug: str, caller: Viewer) -> Response:
        return Handled(server, caller)

    app = FastAPI(lifespan=lifespan)
    app.add_api_route("/t/{tenant_slug}/mcp", mcp, methods=["GET", "POST", "DELETE"], response_class=Response)
    tenancy.install(app)
    return app
