"""What the contract says about itself: OpenAPI documents, Swagger UI, problem pages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tenants_api.errors import ApiError, all_errors
from tests.support.stack import ApiClient, running_app

DOCUMENTS = ("/openapi.json", "/admin/openapi.json")
CAMEL_CASE = re.compile(r"[a-z][a-zA-Z0-9]*")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


@pytest.mark.parametrize("url", DOCUMENTS)
async def test_operation_ids_are_unique_and_in_camel_case(client: ApiClient, url: str) -> None:
    found = [one["operationId"] for _, one in operations((await client.get(url)).json())]
    assert len(found) > 5
    assert [name for name, count in Counter(found).items() if count > 1] == []
    assert [name for name in found if not CAMEL_CASE.fullmatch(name)] == []


@pytest.mark.parametrize("url", DOCUMENTS)
async def test_every_operation_lists_its_problems_in_our_form(client: ApiClient, url: str) -> None:
    document = (await client.get(url)).json()
    without, stock = [], []
    for name, operation in operations(document):
        refusals = {status: one for status, one in operation["responses"].items() if status[0] in "45"}
        if not refusals:
            without.append(name)
        for status, one in refusals.items():
            # A probe's answer is its own, no problem.
            if "application/problem+json" not in one.get("content", {}) and not name.startswith("GET /readyz"):
                stock.append(f"{name} {status}")
    assert (without, stock) == ([], [])
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize("url", DOCUMENTS)
async def test_every_operation_has_a_title_for_people(client: ApiClient, url: str) -> None:
    """E26: the first sentence of its description, not the handler's name."""
    document = (await client.get(url)).json()
    titles = {name: operation["summary"] for name, operation in operations(document)}
    made = [name for name, operation in operations(document)
            if operation["summary"].replace(" ", "").lower() == operation["operationId"].lower()]  # fmt: skip
    assert made == []
    assert [title for title in titles.values() if len(title) > 130 or title.endswith(".")] == []
    if url == "/openapi.json":
        assert titles["GET /livez"] == "200 while the process runs"


async def test_example_of_a_new_tenant_has_a_realm(client: ApiClient) -> None:
    """E26: Swagger UI showed `realms: []`."""
    schemas = (await client.get("/admin/openapi.json")).json()["components"]["schemas"]
    for name in ("TenantIn", "TenantPut"):
        ((realm,),) = schemas[name]["properties"]["realms"]["examples"]
        assert set(realm) == {"issuer", "client_id"}


async def test_front_page_names_the_docs_only_where_they_are_served(realms: DevRealmServer, tmp_path: Path) -> None:
    """E26"""
    for served in (True, False):
        async with running_app(tmp_path, realms, docs_enabled=served) as api:
            front = (await api.get("/")).json()
            assert front["docs"] == ("/docs" if served else None)
            assert (await api.get("/docs")).status_code == (200 if served else 404)


def _shown_models(document: dict[str, Any], operation: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schemas of an operation's JSON (or form) bodies, one reference deep; a list shows its rows."""
    answers = [one for status, one in operation["responses"].items() if status.startswith("2")]
    for body in (*answers, operation.get("requestBody", {})):
        for kind, media in body.get("content", {}).items():
            name = media["schema"].get("$ref", "").rpartition("/")[2]
            if kind != "text/plain":
                model = document["components"]["schemas"][name]
                rows = model["properties"].get("data", {}).get("items", {}).get("$ref", "").rpartition("/")[2]
                yield document["components"]["schemas"][rows] if rows else model


async def test_every_body_of_the_tenant_plane_has_an_example(client: ApiClient) -> None:
    document = (await client.get("/openapi.json")).json()
    seen, without = 0, []
    for name, operation in operations(document):
        for model in _shown_models(document, operation):
            seen += 1
            required = [model["properties"][one] for one in model.get("required", ())]
            if "examples" not in model and not all("examples" in one for one in required):
                without.append(f"{name}: {model['title']}")
    assert seen > 10
    assert without == []


@pytest.mark.parametrize("url", DOCUMENTS)
async def test_operations_that_need_a_token_say_so(client: ApiClient, url: str) -> None:
    document = (await client.get(url)).json()
    named = {name for name, operation in operations(document) if "security" in operation}
    assert all("401" in operation["responses"] for name, operation in operations(document) if name in named)
    if url == "/openapi.json":
        assert {"GET /v1/me", "POST /v1/items", "GET /t/{tenant_slug}/v1/me"} <= named
        assert not {"GET /", "GET /public", "GET /livez", "POST /t/{tenant_slug}/login"} & named
    else:
        assert {name for name, _ in operations(document)} == named


@pytest.mark.parametrize("page", ["/docs", "/admin/docs", "/t/acme/docs"])
async def test_swagger_ui_comes_from_the_package_under_a_strict_policy(client: ApiClient, page: str) -> None:
    answer = await client.get(page)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    linked = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert linked
    for link in linked:
        assert link.startswith(("/docs/static/", "/admin/docs/static/"))
        assert (await client.get(link)).status_code == 200, link
    assert re.findall(r"<script[^>]*>[^<]", answer.text) == [], "no inline script"


async def test_documentation_of_a_tenant_is_wired_to_its_own_realm(client: ApiClient) -> None:
    for name in ("acme", "globex"):
        realm = client.server.realm(name)
        page = await client.get(f"/t/{name}/docs")
        assert f"connect-src 'self' {client.server.base_url};" in page.headers["Content-Security-Policy"]
        document = (await client.get(f"/t/{name}/openapi.json")).json()
        flow = document["components"]["securitySchemes"]["realm"]["flows"]["authorizationCode"]
        assert flow["authorizationUrl"] == f"{realm.issuer}/protocol/openid-connect/auth"
        assert flow["tokenUrl"] == f"{realm.issuer}/protocol/openid-connect/token"
    assert 'data-client-id="web"' in (await client.get("/t/acme/docs")).text
    assert "securitySchemes" in (await client.get("/openapi.json")).json()["components"]
    assert client.server.base_url not in (await client.get("/openapi.json")).text


async def test_files_of_the_documentation_are_asked_after_and_run_no_foreign_script(client: ApiClient) -> None:
    for name in ("swagger-ui-bundle.js", "oauth2-redirect.html"):
        answer = await client.get(f"/docs/static/{name}")
        assert answer.headers["Cache-Control"] == "no-cache"
        assert "script-src 'self';" in answer.headers["Content-Security-Policy"]
        again = await client.get(f"/docs/static/{name}", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
    for outside in ("..%5c..%5capp.py", "%2e%2e/docs.py", "../docs.py", "....//docs.py"):
        assert (await client.get(f"/docs/static/{outside}")).status_code == 404


async def test_documentation_of_an_unknown_tenant_is_404(client: ApiClient) -> None:
    for path in ("/t/nobody-has-this/docs", "/t/nobody-has-this/openapi.json"):
        assert (await client.get(path)).json()["code"] == "not_found"


async def test_documentation_is_404_unless_it_is_enabled(client: ApiClient, tmp_path: Path) -> None:
    paths = ("/docs", "/admin/docs", "/t/acme/docs", *DOCUMENTS, "/t/acme/openapi.json")
    paths = (*paths, "/docs/static/swagger-ui.css")
    async with running_app(tmp_path, client.server, environment="production") as production:
        assert {(await production.get(path)).status_code for path in paths} == {404}
    async with running_app(tmp_path, client.server, environment="production", docs_enabled=True) as enabled:
        assert (await enabled.get("/docs")).status_code == 200


def codes() -> list[str]:
    kinds: list[type[ApiError]] = [ApiError, *all_errors()]
    return sorted({error.code for error in kinds if error.__module__.startswith("tenants_api.")})


async def test_every_problem_has_a_page_with_cause_and_cure(client: ApiClient) -> None:
    assert {"invalid_token", "tenant_mismatch", "issuer_taken", "keys_unavailable", "item_not_found"} <= set(codes())
    for code in codes():
        page = (await client.get(f"/problems/{code}")).json()
        assert page["code"] == code
        assert page["cause"], code
        assert page["cure"], code
    assert (await client.get("/problems/nothing")).status_code == 404


async def test_problem_leads_to_its_page(client: ApiClient) -> None:
    problem = (await client.get("/v1/me")).json()
    assert set(problem) == {"type", "title", "status", "detail", "code", "request_id"}
    assert (await client.get(problem["type"])).json()["title"] == problem["title"]


@pytest.mark.parametrize("url", DOCUMENTS)
async def test_every_reference_in_the_contract_leads_somewhere(client: ApiClient, url: str) -> None:
    answer = await client.get(url)
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', answer.text))
    assert named
    assert named <= set(answer.json()["components"]["schemas"])


async def test_browser_gets_the_problem_as_a_page_that_runs_nothing(client: ApiClient) -> None:
    page = await client.get("/problems/invalid_token", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "<h1>The access token is not accepted</h1>" in page.text
    for accepted in ("*/*", "application/json", "application/problem+json"):
        answer = await client.get("/problems/invalid_token", headers={"Accept": accepted})
        assert answer.headers["Content-Type"] == "application/json"
