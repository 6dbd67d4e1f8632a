"""What went over the wire for one request through a door, as text for the proxy's page.

`python -m tests.gateways.wire` writes it into docs/gateways/ for each proxy of this machine.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.gateways.conftest import Door, open_door
from tests.gateways.proxies import PROXIES, binary
from tests.house.tree import ROOT
from tests.support.realms import dev_realms
from tests.support.stack import onboard, running_app

PAGES = ROOT / "docs" / "gateways"
_BLOCK = re.compile(r"(?<=<!-- wire -->\n).*?(?=<!-- /wire -->)", re.DOTALL)
_MASKS = (
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "<token>"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "<uuid>"),
    (re.compile(r"\b(?:127\.0\.0\.1|localhost):\d{4,5}\b"), "localhost:8080"),
    (re.compile(r"^(date): .*$", re.MULTILINE | re.IGNORECASE), r"\1: …"),
    (re.compile(r"^(user-agent|x-forwarded-server): .*$", re.MULTILINE | re.IGNORECASE), r"\1: …"),
    (re.compile(r"^(x-forwarded-port): \d+$", re.MULTILINE | re.IGNORECASE), r"\1: 8080"),
)
FORGED = {"X-Tenant-Slug": "globex", "X-Auth-Request-User": "root"}


async def exchange(door: Door) -> str:
    """One good request with forged headers: what the proxy asked, what it was told, what the service got."""
    answer = await door.client.get("/orders/7?a=b", headers={**door.bearer(), **FORGED})
    assert answer.status_code == 200, answer.text
    line, asked = door.recorder.asked[-1]
    status, told = door.recorder.told[-1]
    arrived = door.upstream.lines[-1]
    parts = {
        "The proxy's request to `/authz`": [line, *_lines(asked)],
        "The response": [str(status), *_lines(told)],
        "The request to the service": arrived,
    }
    text = "".join(f"\n{title}:\n\n```http\n" + "\n".join(lines) + "\n```\n" for title, lines in parts.items())
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return f"{text}\n"


def shown(proxy: str) -> str:
    """What the page of this proxy shows."""
    found = _BLOCK.search(page(proxy).read_text(encoding="utf-8"))
    assert found, f"no place for the exchange in {page(proxy)}"
    return found[0]


def page(proxy: str) -> Path:
    return PAGES / f"{proxy}.md"


def _lines(headers: list[tuple[str, str]]) -> list[str]:
    return [f"{name}: {value}" for name, value in headers]


async def _write() -> None:
    with dev_realms("acme", "globex") as realms, TemporaryDirectory(prefix="wire-") as folder:
        async with running_app(Path(folder), realms) as api:
            await onboard(api, "acme")
            for proxy in PROXIES:
                if binary(proxy) is None:
                    print(f"{proxy}: not on this machine", file=sys.stderr)
                    continue
                place = Path(folder) / proxy
                place.mkdir()
                async with open_door(proxy, api=api, folder=place, tenant="acme", role="viewer") as door:
                    seen = await exchange(door)
                text = page(proxy).read_text(encoding="utf-8")
                page(proxy).write_text(_BLOCK.sub(lambda _, seen=seen: seen, text), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(_write())
