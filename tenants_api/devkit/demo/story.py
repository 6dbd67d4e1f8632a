"""The steps of the demo, with any identity provider that can issue tokens and rotate keys.

Each step has an expected result; the demo succeeds only if every step does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tenants_api.devkit.demo.stage import Gateway, TokenRealms, WorkerResponse, Workers

CLIENT_ID = "tenants-api"
CHANGE_TIMEOUT_SECONDS = 10.0  # until every worker has a change; `took` shows the promised second


@dataclass(frozen=True, slots=True)
class Step:
    """The result of a step. `http` has each status; `took` is milliseconds; a skipped step is `ok`."""

    step: str
    tenant: str
    http: str
    answer: str
    took: float
    ok: bool
    skipped: bool = False


@dataclass(slots=True)
class Stage:
    """What the steps use, and values of earlier steps."""

    workers: Workers
    realms: TokenRealms
    gateway: Gateway | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    item: str = ""


async def play(workers: Workers, realms: TokenRealms, *, gateway: Gateway | None) -> AsyncIterator[Step]:
    """Run the steps in order; without a gateway the last step is skipped."""
    stage = Stage(workers, realms, gateway)
    for act in STORY:
        yield await act(stage)


async def foreign_token(stage: Stage) -> Step:
    stage.tokens["editor"] = await stage.realms.token("acme", role="editor")
    return await _everywhere(
        stage,
        "a token of an unregistered realm",
        path="/v1/me",
        who="editor",
        expect=(401, "invalid_token"),
        within=0,
    )


async def onboard(stage: Stage) -> Step:
    return await _onboard(stage, "acme")


async def same_token(stage: Stage) -> Step:
    return await _everywhere(
        stage, "the same token, every worker, no restart", path="/v1/me", who="editor", expect=(200, "")
    )


async def onboard_another(stage: Stage) -> Step:
    return await _onboard(stage, "globex")


async def other_path(stage: Stage) -> Step:
    return await _everywhere(
        stage, "acme's token on globex's path", path="/t/globex/v1/me", who="editor", expect=(403, "tenant_mismatch")
    )


async def viewer_writes(stage: Stage) -> Step:
    stage.tokens["viewer"] = await stage.realms.token("acme", role="viewer")
    return await _post_item(stage, "a viewer creates an item", who="viewer", expect=(403, "insufficient_role"))


async def editor_writes(stage: Stage) -> Step:
    return await _post_item(stage, "an editor creates an item", who="editor", expect=(201, ""))


async def other_tenant_reads(stage: Stage) -> Step:
    stage.tokens["globex"] = await stage.realms.token("globex", role="admin")
    return await _everywhere(
        stage,
        "globex's admin reads that item",
        path=f"/v1/items/{stage.item}",
        who="globex",
        expect=(404, "item_not_found"),
        tenant="globex",
    )


async def rotate(stage: Stage) -> Step:
    await stage.realms.rotate("acme")
    stage.tokens["rotated"] = await stage.realms.token("acme", role="editor")
    return await _everywhere(
        stage,
        "acme rotates its keys: a token of the new key",
        path="/v1/me",
        who="rotated",
        expect=(200, ""),
        within=0,
    )


async def old_key(stage: Stage) -> Step:
    return await _everywhere(stage, "the token of the old key", path="/v1/me", who="editor", expect=(200, ""), within=0)


async def suspend(stage: Stage) -> Step:
    return await _transition(stage, "suspend")


async def suspended(stage: Stage) -> Step:
    return await _everywhere(
        stage, "acme's token, every worker", path="/v1/me", who="rotated", expect=(403, "tenant_suspended")
    )


async def resume(stage: Stage) -> Step:
    return await _transition(stage, "resume")


async def resumed(stage: Stage) -> Step:
    return await _everywhere(stage, "acme's token, every worker", path="/v1/me", who="rotated", expect=(200, ""))


async def through_nginx(stage: Stage) -> Step:
    """The service does not get the forged headers of the request."""
    name = "the same token through nginx, to a service that is not Python"
    if stage.gateway is None:
        return Step(name, "acme", "-", "nginx is not installed", 0, ok=True, skipped=True)
    started = time.monotonic()
    anonymous, _ = await stage.gateway.ask(token=None)
    status, identity = await stage.gateway.ask(token=stage.tokens["rotated"])
    took = time.monotonic() - started
    ok = (anonymous, status) == (401, 200) and identity.startswith("acme|editor|")
    return Step(name, "acme", f"{anonymous} {status}", identity.replace("|", " "), round(took * 1000, 1), ok)


STORY: tuple[Callable[[Stage], Awaitable[Step]], ...] = (
    foreign_token, onboard, same_token, onboard_another, other_path, viewer_writes, editor_writes, other_tenant_reads,
    rotate, old_key, suspend, suspended, resume, resumed, through_nginx,
)  # fmt: skip


async def _everywhere(
    stage: Stage,
    step: str,
    *,
    path: str,
    who: str,
    expect: tuple[int, str],
    tenant: str = "acme",
    within: float = CHANGE_TIMEOUT_SECONDS,
) -> Step:
    """Ask every worker until all responses are as expected, for at most `within` seconds (0: once)."""
    started = time.monotonic()
    while True:
        responses = await stage.workers.every(path, token=stage.tokens[who])
        took = time.monotonic() - started
        ok = all((response.status, response.code) == expect for response in responses)
        if ok or took >= within:
            return _step(step, tenant, responses, took=took, ok=ok)
        await asyncio.sleep(0.02)


async def _onboard(stage: Stage, slug: str) -> Step:
    realm = {"issuer": stage.realms.issuer(slug), "client_id": CLIENT_ID}
    body = {"slug": slug, "name": slug.capitalize(), "realms": [realm], "activate": "now"}
    return await _admin(stage, f"onboard {slug} by one admin call", path="/tenants", body=body, tenant=slug, status=201)


async def _transition(stage: Stage, verb: str) -> Step:
    path = f"/tenants/acme/{verb}"
    return await _admin(stage, f"{verb} acme", path=path, body={"reason": "the demo"}, tenant="acme", status=200)


async def _admin(stage: Stage, step: str, *, path: str, body: dict[str, Any], tenant: str, status: int) -> Step:
    started = time.monotonic()
    response = await stage.workers.admin(path, body=body)
    return _step(step, tenant, [response], took=time.monotonic() - started, ok=response.status == status)


async def _post_item(stage: Stage, step: str, *, who: str, expect: tuple[int, str]) -> Step:
    started = time.monotonic()
    response = await stage.workers.post("/v1/items", token=stage.tokens[who], body={"title": "A first item"})
    took = time.monotonic() - started
    stage.item = str(response.body.get("id", stage.item))
    return _step(step, "acme", [response], took=took, ok=(response.status, response.code) == expect)


def _step(step: str, tenant: str, responses: list[WorkerResponse], *, took: float, ok: bool) -> Step:
    statuses = " ".join(str(response.status) for response in responses)
    summary = ", ".join(dict.fromkeys(_summary(response) for response in responses))
    return Step(step, tenant, statuses, summary, round(took * 1000, 1), ok)


def _summary(response: WorkerResponse) -> str:
    """The part of a response that is shown."""
    body = response.body
    if response.code:
        return response.code
    if "roles" in body:
        return f"{body.get('username')}: {', '.join(body['roles'])}"
    return str(body.get("state") or body.get("title") or "")
