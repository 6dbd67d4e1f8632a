"""HTML answers. None of them may be framed, sniffed or made to run a script that is not a file of this package."""

from __future__ import annotations

from fastapi.responses import HTMLResponse

# No script at all, no style, nothing loaded: what a page needs more, it names.
_NOTHING = "default-src 'none'"
_ALWAYS = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def html_page(content: str, *, policy: str = _NOTHING) -> HTMLResponse:
    """A page with its content security policy. Whoever builds `content` has escaped what is not its own."""
    return HTMLResponse(content, headers=page_headers(policy=policy))


def page_headers(*, policy: str = _NOTHING) -> dict[str, str]:
    """The headers of a page; a policy is told once, before the browser reads the first byte."""
    return {
        "Content-Security-Policy": f"{policy}; {_ALWAYS}",
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    }
