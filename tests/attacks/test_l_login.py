"""L of the catalogue: what stays of a password, and what tells a user who exists from one who does not."""

from __future__ import annotations

import gc
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tenants_api.observability import logging
from tests.attacks.arena import Arena, listening
from tests.support.realms import dev_realms
from tests.support.stack import onboard, running_app

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("login")]


@pytest.fixture
async def arena(tmp_path: Path) -> AsyncIterator[Arena]:
    with dev_realms("acme") as server:
        async with running_app(tmp_path, server, login_rate=1000) as client:
            await onboard(client, "acme", login_client_id="web")
            async with listening(client) as address:
                yield Arena(client, address)


async def log_in(
    arena: Arena, user: str, *reversed_password: str, kind: str = "application/x-www-form-urlencoded"
) -> int:
    """By raw bytes: a client library would keep the form. The password comes backwards, so that nobody keeps it here."""
    body = f"username={user}&password={''.join(reversed_password)[::-1]}".encode()
    head = f"POST /t/acme/login HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return (await arena.send(head.encode() + body)).status


def holding(backwards: str) -> list[str]:
    """What in this process holds the text that is given backwards, by its type."""
    gc.collect()
    needle = backwards[::-1]
    raw, own = needle.encode(), {id(needle), id(backwards)}
    own.add(id(raw))
    return [type(one).__name__ for one in _texts() if id(one) not in own and _holds(one, needle, raw)]


def _texts() -> Iterator[Any]:
    """Texts and bytes are not tracked themselves; what refers to them is."""
    for tracked in gc.get_objects():
        for one in gc.get_referents(tracked):
            if isinstance(one, (str, bytes, bytearray)):
                yield one


def _holds(one: Any, needle: str, raw: bytes) -> bool:
    return needle in one if isinstance(one, str) else raw in one


@pytest.mark.parametrize("outcome", ["wrong", "unknown user", "realm down", "refused form"])
async def test_password_is_in_no_live_object_and_no_log_after_the_answer(
    arena: Arena, outcome: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """L10: neither kept, nor in an exception's frames that something holds on to, nor in what is logged."""
    logging.configure(format="json", level="debug")
    backwards = secrets.token_hex(24)
    arena.client.server.realm("acme").faults.down = outcome == "realm down"
    user = "nobody" if outcome == "unknown user" else "alice"
    kind = "text/plain" if outcome == "refused form" else "application/x-www-form-urlencoded"
    for _ in range(3):
        status = await log_in(arena, user, backwards, kind=kind)
    assert status == {"realm down": 503, "refused form": 415}.get(outcome, 401)
    await log_in(arena, "bob", secrets.token_hex(24))  # what is kept until the next request is not kept for long
    assert holding(backwards) == []
    assert backwards[::-1] not in "".join(capsys.readouterr())


async def test_look_into_memory_finds_what_is_there(arena: Arena) -> None:
    """What the test above is measured against."""
    backwards = secrets.token_hex(24)
    kept = [f"x{backwards[::-1]}", backwards[::-1].encode() + b"y"]
    assert sorted(holding(backwards)) == ["bytes", "str"], kept[0][:1]


async def test_same_is_done_for_a_user_who_exists_and_for_one_who_does_not(arena: Arena) -> None:
    """L3: the class of time is the number of calls to the realm; both cost the same ones."""
    realm, costs = arena.client.server.realm("acme"), []
    for user in ("alice", "nobody", "alice", "nobody"):
        before = Counter(realm.requests)
        assert await log_in(arena, user, "gnorw") == 401
        costs.append(Counter(realm.requests) - before)
    assert costs[0].total() == 1
    assert all(cost == costs[0] for cost in costs)
