"""Turns the fault switches of a realm into answers. Knows nothing of what the endpoints say when all is well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse

from tenants_api.devrealms.realm import DevRealm

HANG_SECONDS: Final = 600
_HUGE_CHUNKS: Final = 160
_CHUNK: Final = b'{"kty":"RSA","n":"' + b"A" * 65_500 + b'"},'


async def faulty_answer(realm: DevRealm, kind: str, request: Request) -> Response | None:
    """What the switches answer instead of the endpoint `kind`; None when the endpoint may answer."""
    faults = realm.faults
    if faults.hang:
        return await _hang(request)
    if faults.slow_seconds > 0:
        await asyncio.sleep(faults.slow_seconds)
    if faults.down:
        return PlainTextResponse("Service Unavailable", status_code=503)
    if faults.redirect_to is not None:
        return RedirectResponse(faults.redirect_to, status_code=302)
    return _faulty_document(realm, kind) if kind in ("certs", "discovery") else None


def _faulty_document(realm: DevRealm, kind: str) -> Response | None:
    if realm.faults.garbage:
        return HTMLResponse("<!doctype html><title>We will be back soon</title>")
    if kind != "certs":
        return None
    if realm.faults.take_failure():
        return PlainTextResponse("Internal Server Error", status_code=500)
    return StreamingResponse(_huge_set(), media_type="application/json") if realm.faults.huge else None


async def _hang(request: Request) -> Response:
    """No answer until the client gives up (bounded, so that a forgotten one does not stay for ever)."""
    try:
        async with asyncio.timeout(HANG_SECONDS):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        pass
    return PlainTextResponse("Gateway Timeout", status_code=504)


async def _huge_set() -> AsyncIterator[bytes]:
    """10 MB of JSON, without a Content-Length."""
    yield b'{"keys":['
    for _ in range(_HUGE_CHUNKS):
        yield _CHUNK
    yield b'{"kty":"RSA"}]}'
