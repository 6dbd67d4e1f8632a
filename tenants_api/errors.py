"""The errors of the HTTP contract. The web edge renders them.

    ApiError
    ├── InvalidRequest · ValidationFailed · BodyTooLarge · UnsupportedMediaType · MethodNotAllowed · NotFound
    ├── UriTooLong · EtagMismatch · IfMatchRequired · RateLimited · InternalError
    ├── tokens.errors     tokens and roles
    ├── registry.errors   the registry
    └── items             the sample resource

Each class is one `code`; `GET /problems/<code>` shows its `cause` and `hint`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

MAX_QUERY_BYTES = 8192  # parsing 30 KB of a query string takes 76 ms, before authentication


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field of a request: its JSON pointer (RFC 6901) and what is wrong."""

    pointer: str
    detail: str


def without_prefix(message: str) -> str:
    """A message of Pydantic without what it puts before the text of a validator's ValueError."""
    return message.removeprefix("Value error, ")


class ApiError(Exception):
    """An error response (RFC 9457).

    `detail` is public: it never holds a token, a secret or the body of another server. `headers` are added to
    the response, `extra` are extension members of the problem.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    cause: ClassVar[str] = "Something failed inside this API."
    hint: ClassVar[str] = "Retry; if it fails again, give the request id to the operator."
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = MappingProxyType({})
    extra: Mapping[str, Any] = MappingProxyType({})

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        # Attributes only where given, because a flood of refused tokens makes a flood of errors.
        self.detail = self.title if detail is None else detail
        if headers:
            self.headers = dict(headers)
        if errors:
            self.errors = tuple(errors)
        if extra:
            self.extra = dict(extra)
        super().__init__(self.detail)

    def as_problem(self, *, request_id: str) -> dict[str, Any]:
        """The body of the response (RFC 9457)."""
        body: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "request_id": request_id,
        }
        if self.errors:
            body["errors"] = [{"pointer": one.pointer, "detail": one.detail} for one in self.errors]
        return {**self.extra, **body}


class InternalError(ApiError):
    """The response to every unexpected exception, whose text is only in the log."""


class InvalidRequest(ApiError):
    status = 400
    code = "invalid_request"
    title = "The request is malformed"
    cause = "A header or the body cannot be read: two Authorization headers, a token in a query string, broken JSON."
    hint = (
        "Send exactly one `Authorization: Bearer <token>` header of at most TENANTS_MAX_TOKEN_BYTES (8192) bytes, "
        "and well-formed JSON."
    )


class ValidationFailed(ApiError):
    status = 422
    code = "validation_failed"
    title = "The request is not valid"
    cause = "A field is unknown, missing, of a wrong type or outside its range; `errors` points at each one."
    hint = "Correct the fields that `errors` names."


class NotFound(ApiError):
    status = 404
    code = "not_found"
    title = "Not found"
    cause = "Nothing is served at this path."
    hint = "See /docs and /admin/docs for the paths."


class MethodNotAllowed(ApiError):
    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"
    cause = "The path exists, but not for this method."
    hint = "Use one of the methods in the Allow header."


class UnsupportedMediaType(ApiError):
    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"
    cause = "The body's Content-Type is not one that this operation reads."
    hint = "Send application/json (application/merge-patch+json for PATCH)."


class BodyTooLarge(ApiError):
    status = 413
    code = "body_too_large"
    title = "The body is too large"
    cause = "The request body is over 256 KiB."
    hint = "Send less in one request."


class UriTooLong(ApiError):
    status = 414
    code = "uri_too_long"
    title = "The query string is too long"
    cause = f"The query string of the URL is over {MAX_QUERY_BYTES} bytes; it was not read."
    hint = "Send shorter values, or send them in the body of a request."

    def __init__(self, size: int, *, most: int = MAX_QUERY_BYTES) -> None:
        super().__init__(f"the query string has {size} bytes; at most {most} are read")


class EtagMismatch(ApiError):
    status = 412
    code = "etag_mismatch"
    title = "The resource has changed"
    cause = "If-Match names another version than the stored one (or If-None-Match: * met an existing one)."
    hint = "Read the resource again, apply the change to its present version, and send its ETag."


class IfMatchRequired(ApiError):
    status = 428
    code = "if_match_required"
    title = "If-Match is required"
    cause = "A change of a tenant or realm without If-Match could overwrite a concurrent one."
    hint = "Send the ETag of the last read as If-Match."


class RateLimited(ApiError):
    status = 429
    code = "rate_limited"
    title = "Too many requests"
    cause = "The limit of this operation is used up."
    hint = "Wait for the number of seconds in Retry-After."


def all_errors(root: type[ApiError] = ApiError) -> Iterator[type[ApiError]]:
    """Every concrete error class below `root`, for the problem pages and the OpenAPI documents."""
    for child in root.__subclasses__():
        yield child
        yield from all_errors(child)
