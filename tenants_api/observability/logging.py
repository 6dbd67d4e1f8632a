"""Logs as events with fields, one line each, on stderr, with redacted secrets and bounded length.

Redaction is the last processor before the renderer, so that it also applies to logs of libraries and to exceptions.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from contextvars import ContextVar, Token
from itertools import pairwise
from typing import Any, Literal, TextIO, cast

import structlog
import uuid_utils
from structlog.typing import EventDict, Processor, WrappedLogger

REQUEST_ID = "tenants_api.request_id"  # where the scope of a request has its id
# The scope of the request that this task serves; not in the context of structlog, because it holds the token.
REQUEST: ContextVar[MutableMapping[str, Any] | None] = ContextVar("tenants_api.request", default=None)
_VALID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The incoming `X-Request-ID` if it is valid, else a new one; header names are in lower case, as in ASGI."""
    given = b""
    for name, value in headers:
        if name == b"x-request-id":
            given = bytes(value)  # the first of several
            break
    return given.decode("ascii") if _VALID.fullmatch(given) else str(uuid_utils.uuid7())


def request_id_in(scope: MutableMapping[str, Any]) -> str:
    """The id of the request with this scope, set at the first call."""
    found: str | None = scope.get(REQUEST_ID)
    if found is None:
        found = scope[REQUEST_ID] = request_id_of(scope["headers"])
    return found


def request_fields() -> dict[str, Any]:
    """The id, client's address, method and path of the request in `REQUEST`; empty without one."""
    scope = REQUEST.get()
    if scope is None:
        return {}
    address = (scope.get("client") or (None,))[0]
    found = {"address": address, "method": scope.get("method", "GET"), "path": scope["path"]}
    return {"request_id": request_id_in(scope), **found}  # a WebSocket is opened by a GET


class _NoQuery(logging.Filter):
    """Removes the query string from uvicorn's access log: queries of other applications may hold secrets."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and len(record.args) == 5:
            client, method, path, *rest = record.args
            record.args = (client, method, str(path).partition("?")[0], *rest)
        return True


MAX_VALUE_CHARACTERS = 256
MAX_TRACEBACK_CHARACTERS = 8192
MAX_READ_CHARACTERS = 16_384  # of a value that redaction searches; the rest is cut off first
MAX_DEPTH = 4
REDACTED = "[redacted]"
# Libraries that log every step: httpx each URL, Alembic each inspection of the schema.
VERBOSE_LIBRARIES = ("httpx", "httpcore", "alembic")

# The first letters of a base64url JSON object with or without white space; at least one more segment must follow.
# Dotted words are matched first, with possessive quantifiers, so that a text of nothing but beginnings takes no longer.
_JWT = re.compile(r"e(?:y[A-DI-L]|w[k-r0-3])[A-Za-z0-9_-]{8}")
_DOTTED = re.compile(r"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]*+)++")
_ADMIN_KEY = re.compile(r"tak_[A-Za-z0-9]+_[A-Za-z0-9_-]+")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+@")
_SECRET_KEY = re.compile(r"(?i)(?:^|[_\-.])(?:token|password|authorization|secret|cookie|api_key)$")
# C1, line and paragraph separators, bidirectional controls, lone surrogates: with C0 and DEL what could forge a second
# line, control a terminal, reorder text, or be invalid UTF-8.
_DRIVING = "\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_CONTROL = re.compile(f"[\x00-\x1f{_DRIVING}]")
_CONTROL_BUT_LINES = re.compile(f"[\x00-\x09\x0b-\x1f{_DRIVING}]")


def configure(*, format: Literal["json", "console"], level: str) -> None:  # noqa: A002 - the setting's own name
    """Send structlog's events and the standard library's records to stderr in one format.

    `level` is `debug`, `info`, `warning` or `error`. Called once by a process; a second call replaces the first.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    processors = _processors(format)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        context_class=dict,
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Stderr())),
        cache_logger_on_first_use=False,
    )
    _route_standard_library(processors, threshold=threshold)


class _Stderr:
    """The present `sys.stderr`, which a test or a daemon may replace."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def redact(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """The processor that redacts secrets, shortens long values and escapes control characters."""
    return {_text(str(key), limit=MAX_VALUE_CHARACTERS): _clean(value, key=str(key)) for key, value in event.items()}


def redacted(value: str, *, limit: int = MAX_VALUE_CHARACTERS) -> str:
    """An untrusted text without secrets and control characters, at most `limit` characters long."""
    return _text(value, limit=limit)


def _processors(format: str) -> list[Processor]:  # noqa: A002
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
        structlog.processors.JSONRenderer(default=str) if format == "json" else _console(),
    ]


def _console() -> Processor:
    # The pretty traceback formatters print local variables, and tokens live in local variables.
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ,
        exception_formatter=structlog.dev.plain_traceback,
    )


def _route_standard_library(processors: list[Processor], *, threshold: int) -> None:
    """Give records of uvicorn, SQLAlchemy and others the same fields and redaction."""
    handler = logging.StreamHandler(_Stderr())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[_name_the_source, structlog.stdlib.ProcessorFormatter.remove_processors_meta, *processors]
        )
    )
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.INFO), force=True)
    for name in VERBOSE_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    access = logging.getLogger("uvicorn.access")
    if not any(isinstance(one, _NoQuery) for one in access.filters):
        access.addFilter(_NoQuery())


def _name_the_source(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    if record is not None:
        event["logger"] = record.name
        event["level"] = record.levelname.lower()
    return event


def _clean(value: Any, *, key: str, depth: int = 0) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if _SECRET_KEY.search(key):
        return REDACTED
    if key == "exception":
        return _text(str(value), limit=MAX_TRACEBACK_CHARACTERS, control=_CONTROL_BUT_LINES)
    if depth < MAX_DEPTH and isinstance(value, Mapping):
        return {
            _text(str(name), limit=MAX_VALUE_CHARACTERS): _clean(part, key=str(name), depth=depth + 1)
            for name, part in value.items()
        }
    if depth < MAX_DEPTH and isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(part, key="", depth=depth + 1) for part in list(value)[:100]]
    return _text(str(value), limit=MAX_VALUE_CHARACTERS)


def _text(value: str, *, limit: int, control: re.Pattern[str] = _CONTROL) -> str:
    text = value[:MAX_READ_CHARACTERS]
    text = _URL_PASSWORD.sub(rf"\1{REDACTED}@", text)
    for pattern in (_ADMIN_KEY, _BEARER):
        text = pattern.sub(REDACTED, text)
    text = _DOTTED.sub(_without_jwt, text)
    text = control.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    return text if len(text) <= limit else f"{text[:limit]}…"


def _without_jwt(dotted: re.Match[str]) -> str:
    """The dotted words before a token, or all of them."""
    words = dotted[0].split(".")
    for place, (word, following) in enumerate(pairwise(words)):
        begin = _JWT.search(word)
        if begin is not None and len(following) >= 4:
            return ".".join([*words[:place], word[: begin.start()]]) + REDACTED
    return dotted[0]


def bind(**context: Any) -> Mapping[str, Token[Any]]:
    """Add fields (`request_id`, `tenant`) to every event of this task, until `release` gets the result."""
    return structlog.contextvars.bind_contextvars(**context)


def release(bound: Mapping[str, Token[Any]]) -> None:
    """Remove these fields, in the task that bound them."""
    structlog.contextvars.reset_contextvars(**bound)
