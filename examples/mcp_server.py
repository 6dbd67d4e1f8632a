"""An MCP server whose tenants sign in at their own realms: one endpoint a tenant, `/t/{slug}/mcp`.

A client with only that URL gets 401 with the URL of the tenant's metadata (RFC 9728), which names the tenant's realm;
the client signs in there, and repeats the request with a token.

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
    """A response by the MCP library, with the principal in the state for its tools."""

    def __init__(self, server: MCPServer, caller: Principal) -> None:
        self.background, self._server, self._caller = None, server, caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {**scope.get("state", {}), "caller": self._caller}
        await self._server.session_manager.handle_request(scope, receive, send)


async def whoami(context: Context[Any, Any]) -> str:
    """The caller, its tenant and its roles."""
    caller: Principal = context.request_context.request.state.caller  # type: ignore[union-attr]
    return f"{caller.username} of {caller.tenant.name}: {', '.join(sorted(caller.roles))}"


def create(settings: Settings | None = None) -> FastAPI:
    tenancy = Tenancy(settings)
    server = MCPServer("tenants")
    server.tool()(whoami)
    server.streamable_http_app(stateless_http=True, json_response=True)  # creates the session manager

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
