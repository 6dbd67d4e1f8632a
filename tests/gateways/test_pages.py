"""The pages of the proxies show what really goes over the wire, and the command that renders what was tried."""

from __future__ import annotations

import re

import pytest

from tests.gateways.conftest import Door
from tests.gateways.wire import PAGES, exchange, shown


async def test_page_shows_the_exchange_as_it_is(door: Door) -> None:
    """Names and order of the headers, and every value that is not of one request alone."""
    assert (await exchange(door)).splitlines() == shown(door.proxy).splitlines()


@pytest.mark.parametrize("proxy", ["nginx", "caddy", "traefik", "envoy"])
def test_page_renders_its_own_proxy(proxy: str) -> None:
    text = (PAGES / f"{proxy}.md").read_text(encoding="utf-8")
    assert set(re.findall(r"tenants-api gateway render (\w+)", text)) == {proxy}
    assert f"({proxy}.md)" in (PAGES / "README.md").read_text(encoding="utf-8")
