"""Every HTML answer, wherever it comes from, has the headers that keep a browser from being used against its user."""

from __future__ import annotations

import pytest
from fastapi.routing import iter_route_contexts

from tests.support.stack import ApiClient, bearer

PARAMETERS = {"tenant_slug": "acme", "code": "invalid_token", "item_id": "01890a5d-ac96-774b-bcce-b302099a8057"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
KNOWN = {"/docs", "/t/acme/docs", "/admin/docs", "/problems/invalid_token", "/docs/static/oauth2-redirect.html"}


def paths(client: ApiClient) -> set[str]:
    """Every path that answers GET, on both planes; the files of the documentation too."""
    found = {"/docs/static/oauth2-redirect.html", "/docs/static/start.js", "/nothing", "/t/acme/nothing"}
    admin = next(route.app for route in client.app.routes if getattr(route, "name", "") == "admin")
    for prefix, app in (("", client.app), ("/admin", admin)):
        for context in iter_route_contexts(app.routes):
            if "GET" in (context.methods or ()):
                found.add(prefix + context.path.format_map(Filled()))
    return found


class Filled(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return PARAMETERS.get(name, "acme")


@pytest.mark.parametrize("token", [False, True], ids=["stranger", "user"])
async def test_every_page_has_its_policy_and_runs_no_script_of_elsewhere(client: ApiClient, token: bool) -> None:
    headers = BROWSER | (bearer(client.server.realm("acme").mint()) if token else {})
    pages = set()
    for path in sorted(paths(client)):
        answer = await client.get(path, headers=headers)
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert "strict-origin" not in answer.headers.get("Referrer-Policy", ""), path
        if not answer.headers.get("Content-Type", "").startswith("text/html"):
            continue
        pages.add(path)
        policy = answer.headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"} <= set(
            policy
        ), path
        scripts = [one for one in policy if one.startswith("script-src")]
        assert scripts in ([], ["script-src 'self'"]), path
        assert answer.headers["Referrer-Policy"] == "no-referrer", path
        assert answer.headers["X-Frame-Options"] == "DENY", path
    assert pages == KNOWN
