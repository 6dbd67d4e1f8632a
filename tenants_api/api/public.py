"""Routes that need no token: the front page, the open sample, the problem pages."""

from __future__ import annotations

import html
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from tenants_api import __version__
from tenants_api.errors import ApiError, NotFound, all_errors
from tenants_api.schemas.base import ResponseModel, example
from tenants_api.web.openapi import html_page
from tenants_api.web.problems import problem_responses

router = APIRouter(tags=["public"])
_HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{status} {title}</title>
<h1>{title}</h1>
<p><code>{code}</code>, status {status}</p>
<h2>Cause</h2>
<p>{cause}</p>
<h2>What to do</h2>
<p>{cure}</p>
</html>
"""


class Front(ResponseModel):
    model_config = example(name="tenants-api", version=__version__, message="One API for many realms.", docs="/docs")

    name: str
    version: str
    message: str
    docs: str


class Message(ResponseModel):
    model_config = example(message="Everybody may read this.")

    message: str


class ProblemPage(ResponseModel):
    """What a problem's `code` means, its cause, and what to do."""

    model_config = example(
        code="token_expired",
        title="The access token expired",
        status=401,
        cause="The token is valid except that its lifetime has ended.",
        cure="Refresh the token at the realm and repeat the request.",
    )

    code: str
    title: str
    status: int
    cause: str
    cure: str


@router.get("/", response_model=Front)
async def front() -> dict[str, str]:
    """Name, version and documentation of this API."""
    return {
        "name": "tenants-api",
        "version": __version__,
        "message": "One API for the tokens of many Keycloak realms.",
        "docs": "/docs",
    }


@router.get("/public", response_model=Message)
async def public() -> dict[str, str]:
    """An open route: an Authorization header is not read."""
    return {"message": "Everybody may read this."}


@router.get("/problems/{code}", response_model=ProblemPage, responses=problem_responses(NotFound))
async def problem(code: Annotated[str, Path(max_length=64, examples=["invalid_token"])], request: Request) -> Any:
    """Cause of a problem and what to do; a browser gets a page."""
    page = _pages().get(code)
    if page is None:
        raise NotFound("no problem has this code")
    if "text/html" in request.headers.get("accept", ""):
        return html_page(_HTML.format_map({name: html.escape(str(value)) for name, value in page.items()}))
    return page


def _pages() -> dict[str, dict[str, Any]]:
    """One page for each code; the first of several errors with one code is the general one."""
    pages: dict[str, dict[str, Any]] = {}
    kinds: list[type[ApiError]] = [ApiError, *all_errors()]
    for error in kinds:
        pages.setdefault(
            error.code,
            {
                "code": error.code,
                "title": error.title,
                "status": error.status,
                "cause": error.cause,
                "cure": error.hint,
            },
        )
    return pages
