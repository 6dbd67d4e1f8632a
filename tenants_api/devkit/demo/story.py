"""The demo's story, step by step, against any identity provider that can issue tokens and rotate keys.

Each step says what it expects; the demo ends well only if every one of them came true.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from tenants_api.devkit.demo.stage import Answer, Workers

CLIENT_ID = "tenants-api"
SOON = 10.0  # seconds in which every worker must know of a change; the promised second is shown as `took`


class Door(Protocol):
    """A proxy in front of a service that is not Python."""

    async def ask(self, *, token: str | None) -> tuple[int, str]:
        """Status, and `tenant|roles|user` as the service was told."""


class Realms(Protocol):
    """What the story needs of an identity provider; every realm has a user for each role."""

    def issuer(self, realm: str) -> str:
        """The `iss` of the realm's tokens."""

    async def token(self, realm: str, *, role: str) -> str:
        """A fresh access token of the realm's user with that role (viewer, editor or admin)."""

    async def rotate(self, realm: str) -> None:
        """Sign with a new key from now on; the old one stays in the key set."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the story. `http` holds each status that was seen; `took` is milliseconds."""

    step: str
    tenant: str
    http: str
    answer: str
    took: float
    ok: bool


@dataclass(slots=True)
class Stage:
    """The actors, and what one step leaves for the next."""

    workers: Workers
    realms: Realms
    door: Door | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    item: str = ""


async def tell(workers: Workers, realms: Realms, *, door: Door | None) -> AsyncIterator[Step]:
    """Play every step, in order; without nginx there is no door, and the last step says so."""
    stage = Stage(workers, realms, door)
    for act in STORY:
        yield await act(stage)


async def foreign_token(stage: Stage) -> Step:
    stage.tokens["editor"] = await stage.realms.token("acme", role="editor")
    return await _everywhere(
        stage,
        "a token of a realm nobody registered",
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
        "globex's admin asks for that item",
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


async def through_the_door(stage: Stage) -> Step:
    """The forged headers that are sent with it never arrive."""
    name = "the same token through nginx, to a service that is not Python"
    if stage.door is None:
        return Step(name, "acme", "-", "left out: nginx is not installed", 0, ok=True)
    started = time.monotonic()
    stranger, _ = await stage.door.ask(token=None)
    status, told = await stage.door.ask(token=stage.tokens["rotated"])
    took = time.monotonic() - started
    ok = (stranger, status) == (401, 200) and told.startswith("acme|editor|")
    return Step(name, "acme", f"{stranger} {status}", told.replace("|", " "), round(took * 1000, 1), ok)


STORY: tuple[Callable[[Stage], Awaitable[Step]], ...] = (
    foreign_token, onboard, same_token, onboard_another, other_path, viewer_writes, editor_writes, other_tenant_reads,
    rotate, old_key, suspend, suspended, resume, resumed, through_the_door,
)  # fmt: skip


async def _everywhere(
    stage: Stage,
    step: str,
    *,
    path: str,
    who: str,
    expect: tuple[int, str],
    tenant: str = "acme",
    within: float = SOON,
) -> Step:
    """Ask every worker until all say what is expected, for at most `within` seconds (0: the first answer counts)."""
    started = time.monotonic()
    while True:
        answers = await stage.workers.every(path, token=stage.tokens[who])
        took = time.monotonic() - started
        ok = all((answer.status, answer.code) == expect for answer in answers)
        if ok or took >= within:
            return _step(step, tenant, answers, took=took, ok=ok)
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
    answer = await stage.workers.admin(path, body=body)
    return _step(step, tenant, [answer], took=time.monotonic() - started, ok=answer.status == status)


async def _post_item(stage: Stage, step: str, *, who: str, expect: tuple[int, str]) -> Step:
    started = time.monotonic()
    answer = await stage.workers.post("/v1/items", token=stage.tokens[who], body={"title": "A first item"})
    took = time.monotonic() - started
    stage.item = str(answer.body.get("id", stage.item))
    return _step(step, "acme", [answer], took=took, ok=(answer.status, answer.code) == expect)


def _step(step: str, tenant: str, answers: list[Answer], *, took: float, ok: bool) -> Step:
    statuses = " ".join(str(answer.status) for answer in answers)
    said = ", ".join(dict.fromkeys(_gist(answer) for answer in answers))
    return Step(step, tenant, statuses, said, round(took * 1000, 1), ok)


def _gist(answer: Answer) -> str:
    """What a person wants to read of an answer."""
    body = answer.body
    if answer.code:
        return answer.code
    if "roles" in body:
        return f"{body.get('username')}: {', '.join(body['roles'])}"
    return str(body.get("state") or body.get("title") or "")
