"""The interactive documentation: Swagger UI from files in this package, with one page for each tenant.

No CDN and no inline script: the page's settings are data attributes, so that the content security policy can be
strict. The page of a tenant uses its realm's authorization code flow with PKCE and a public client id.
"""

from __future__ import annotations

import html
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, FastAPI, Request
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from tenants_api.composition import Services
from tenants_api.errors import NotFound
from tenants_api.registry.values import RealmRow, TenantRow, TenantState
from tenants_api.web.authentication import services_of
from tenants_api.web.dependencies import ServicesDep
from tenants_api.web.openapi import html_page, page_headers
from tenants_api.web.problems import problem_responses

STATIC = Path(__file__).parent / "static"
router = APIRouter(include_in_schema=False)
tenants = APIRouter(include_in_schema=False)  # the pages of tenants

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<link rel="stylesheet" href="{root}/docs/static/swagger-ui.css">
<link rel="icon" href="{root}/docs/static/favicon-32x32.png">
</head>
<body>
<div id="swagger-ui" data-openapi="{root}{openapi}" data-client-id="{client_id}" data-scopes="{scopes}"></div>
<script src="{root}/docs/static/swagger-ui-bundle.js"></script>
<script src="{root}/docs/static/start.js"></script>
</body>
</html>
"""


def mount_static(app: FastAPI) -> None:
    """Serve the files of Swagger UI at `/docs/static`, where the settings enable the documentation."""
    app.mount("/docs/static", _Files(directory=STATIC), name="docs-static")


class _Files(StaticFiles):
    """Files that a browser caches and revalidates; with the headers of a page, because one of them is a page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        services = services_of(scope)
        if services is not None:
            must_serve(services)
        return await super().get_response(path, scope)

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(
            {"Cache-Control": "no-cache", **page_headers(policy="default-src 'none'; script-src 'self'")}
        )
        return response


@router.get("/docs")
async def docs(request: Request, services: ServicesDep) -> HTMLResponse:
    """The tenant plane; paste a token into *Authorize*."""
    must_serve(services)
    return page(title=request.app.title, root=request.scope["root_path"])


@router.get("/openapi.json")
async def openapi(request: Request, services: ServicesDep) -> JSONResponse:
    """The contract of the tenant plane."""
    must_serve(services)
    return JSONResponse(_served(request))


@tenants.get("/t/{tenant_slug}/docs", responses=problem_responses(NotFound))
async def tenant_docs(
    tenant_slug: Annotated[str, PathParameter(max_length=63)], request: Request, services: ServicesDep
) -> HTMLResponse:
    """The tenant plane, with that tenant's realm."""
    tenant, realm = _tenant(services, slug=tenant_slug)
    return page(
        title=f"{tenant.name} · {request.app.title}",
        root=request.scope["root_path"],
        openapi=f"/t/{tenant.slug}/openapi.json",
        client_id=_client_id(realm),
        scopes=" ".join(_scopes(realm)),
        connect=_origin(realm.issuer),
    )


@tenants.get("/t/{tenant_slug}/openapi.json", responses=problem_responses(NotFound))
async def tenant_openapi(
    tenant_slug: Annotated[str, PathParameter(max_length=63)], request: Request, services: ServicesDep
) -> JSONResponse:
    """The contract with that realm's authorization code flow as its security scheme."""
    tenant, realm = _tenant(services, slug=tenant_slug)
    return JSONResponse(_with_realm(_served(request), tenant=tenant, realm=realm))


def page(
    *,
    title: str,
    root: str,
    openapi: str = "/openapi.json",
    client_id: str = "",
    scopes: str = "",
    connect: str = "",
) -> HTMLResponse:
    """Swagger UI for one document of the application at the path `root`.

    `connect` is the origin of the realm whose token endpoint the page calls.
    """
    content = _PAGE.format(
        title=html.escape(title),
        root=html.escape(root),
        openapi=html.escape(openapi),
        client_id=html.escape(client_id),
        scopes=html.escape(scopes),
    )
    policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    return html_page(content, policy=f"{policy}connect-src 'self' {connect}".rstrip())


def _served(request: Request) -> dict[str, Any]:
    """The application's document, with the path that it is served below, if there is one."""
    root, document = request.scope["root_path"], request.app.openapi()
    return {**document, "servers": [{"url": root}]} if root else document


def must_serve(services: Services) -> None:
    """Raises NotFound unless the settings enable the documentation."""
    if not services.settings.serves_docs:
        raise NotFound


def _tenant(services: Services, *, slug: str) -> tuple[TenantRow, RealmRow]:
    must_serve(services)
    tenant = services.replica.tenant_by_slug(slug)
    realm = next((realm for realm in tenant.realms if realm.enabled), None) if tenant is not None else None
    if tenant is None or realm is None or tenant.state != TenantState.ACTIVE:
        raise NotFound
    return tenant, realm


def _client_id(realm: RealmRow) -> str:
    return realm.docs_client_id or realm.login_client_id or realm.client_id


def _scopes(realm: RealmRow) -> dict[str, str]:
    """The scopes to request; where tenants share the realm, the token must name this tenant's organization."""
    organization = {f"organization:{realm.organization}": "Name the organization"} if realm.organization else {}
    return {"openid": "Sign in", **organization}


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _with_realm(document: dict[str, Any], *, tenant: TenantRow, realm: RealmRow) -> dict[str, Any]:
    extended: dict[str, Any] = deepcopy(document)
    endpoints = f"{realm.issuer}/protocol/openid-connect"
    extended["info"]["title"] = f"{tenant.name} · {extended['info']['title']}"
    schemes = extended.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes.pop("bearer", None)
    schemes["realm"] = {
        "type": "oauth2",
        "flows": {
            "authorizationCode": {
                "authorizationUrl": f"{endpoints}/auth",
                "tokenUrl": f"{endpoints}/token",
                "scopes": _scopes(realm),
            }
        },
    }
    for operations in extended["paths"].values():
        for operation in operations.values():
            for needed in operation.get("security", ()):
                if needed.pop("bearer", None) is not None:
                    needed["realm"] = list(_scopes(realm))
    return extended
