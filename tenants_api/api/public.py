"""Routes that need no token: the front page, the open sample, the problem pages."""

from __future__ import annotations

import html
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import Field

from tenants_api import __version__
from tenants_api.errors import ApiError, NotFound, all_errors
from tenants_api.schemas.base import ResponseModel, example
from tenants_api.web.dependencies import ServicesDep
from tenants_api.web.openapi import html_page
from tenants_api.web.problems import problem_responses

router = APIRouter(tags=["public"])
problems = APIRouter(tags=["public"])
sample = APIRouter(tags=["public"])
_HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{status} {title}</title>
<h1>{title}</h1>
<p><code>{code}</code>, status {status}</p>
<h2>Cause</h2>
<p>{cause}</p>
<h2>What to do</h2>
<p>{hint}</p>
</html>
"""


class Front(ResponseModel):
    model_config = example(name="tenants-api", version=__version__, message="One API for many realms.", docs="/docs")

    name: str
    version: str
    message: str
    docs: str | None = Field(description="the interactive documentation; null where it is not served")


class Message(ResponseModel):
    model_config = example(message="This resource is public.")

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
async def front(services: ServicesDep, request: Request) -> dict[str, str | None]:
    """Name, version and documentation of this API."""
    return {
        "name": request.app.title,
        "version": request.app.version,
        "message": "One API for the tokens of many Keycloak realms.",
        "docs": "/docs" if services.settings.serves_docs else None,
    }


@sample.get("/public", response_model=Message)
async def public() -> dict[str, str]:
    """An open route: an Authorization header is not read."""
    return {"message": "This resource is public."}


@problems.get("/problems/{code}", response_model=ProblemPage, responses=problem_responses(NotFound))
async def problem(code: Annotated[str, Path(max_length=64, examples=["invalid_token"])], request: Request) -> Any:
    """Cause of a problem and what to do; a browser gets a page."""
    errors: list[type[ApiError]] = [ApiError, *all_errors()]  # of several with one code the first is the general one
    error = next((error for error in errors if error.code == code), None)
    if error is None:
        raise NotFound("no problem has this code")
    if "text/html" in request.headers.get("accept", ""):
        fields = ("status", "title", "code", "cause", "hint")
        return html_page(_HTML.format_map({name: html.escape(str(getattr(error, name))) for name in fields}))
    return ProblemPage(code=code, title=error.title, status=error.status, cause=error.cause, cure=error.hint)
