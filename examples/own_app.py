"""An existing application with its own lifespan and database, a mounted part, a WebSocket and background work.

uvicorn --factory examples.own_app:create
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Request, WebSocket
from fastapi.requests import HTTPConnection

from tenants_api import CurrentPrincipal, Principal, RoleModel, Settings, Tenancy, requires, websocket_principal

ROLES = RoleModel({"manager": ("clerk",), "clerk": ()})
Clerk = Annotated[Principal, requires("clerk")]
Caller = Annotated[Principal, Depends(websocket_principal)]


def notes_of(connection: HTTPConnection) -> sqlite3.Connection:
    """The application's own database."""
    notes: sqlite3.Connection = connection.scope["state"]["notes"]
    return notes


Notes = Annotated[sqlite3.Connection, Depends(notes_of)]


def write_note(notes: sqlite3.Connection, principal: Principal, text: str) -> None:
    """A background task, which runs after the response and gets the principal as a value."""
    with notes:
        notes.execute("insert into notes values (?, ?, ?)", (str(principal.tenant.id), principal.subject, text))


async def add_note(text: str, caller: Clerk, notes: Notes, background: BackgroundTasks) -> dict[str, str]:
    background.add_task(write_note, notes, caller, text)
    return {"written_by": caller.subject}


async def list_notes(caller: CurrentPrincipal, notes: Notes) -> list[str]:
    return [row[0] for row in notes.execute("select text from notes where tenant = ?", (str(caller.tenant.id),))]


async def greet(websocket: WebSocket, caller: Caller) -> None:
    """A WebSocket; the token is in the header or, from a browser, the first message."""
    await websocket.send_json({"tenant": caller.tenant.slug, "subject": caller.subject})
    await websocket.close()


async def reports(caller: Clerk, request: Request) -> dict[str, str]:
    return {"tenant": caller.tenant.slug, "mounted_at": request.scope["root_path"]}


def create(settings: Settings | None = None) -> FastAPI:
    tenancy = Tenancy(settings, roles=ROLES)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, sqlite3.Connection]]:
        with closing(sqlite3.connect(":memory:", check_same_thread=False)) as notes:
            notes.execute("create table notes (tenant text, subject text, text text)")
            async with tenancy.running():
                yield {"notes": notes}

    app = FastAPI(lifespan=lifespan)
    app.add_api_route("/notes", add_note, methods=["POST"], status_code=202)
    app.add_api_route("/notes", list_notes, methods=["GET"])
    app.add_api_route("/t/{tenant_slug}/notes", list_notes, methods=["GET"])
    app.add_api_websocket_route("/greeting", greet)
    part = FastAPI()
    part.add_api_route("/today", reports, methods=["GET"])
    app.mount("/reports", part)
    tenancy.install(app)
    return app
