"""Reports errors of all commands: an exit code, and a message and a hint on stderr.

0 ok · 1 error · 2 usage · 3 a check failed · 4 not found · 5 conflict · 6 not authorised · 7 unreachable
"""

from __future__ import annotations

from collections.abc import Mapping

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tenants_api.cli.output import say
from tenants_api.database.errors import StorageError, first_line
from tenants_api.database.migrations import MigrationError
from tenants_api.errors import ApiError
from tenants_api.readiness import NotReady
from tenants_api.settings import SettingsError

OK, ERROR, USAGE, CHECK_FAILED, NOT_FOUND, CONFLICT, NOT_AUTHORISED, UNREACHABLE = range(8)

_BY_STATUS: Mapping[int, int] = {
    400: USAGE, 422: USAGE, 401: NOT_AUTHORISED, 403: NOT_AUTHORISED, 404: NOT_FOUND,
    409: CONFLICT, 412: CONFLICT, 502: UNREACHABLE, 503: UNREACHABLE,
}  # fmt: skip
_BY_CODE: Mapping[str, int] = {"realm_not_ready": CHECK_FAILED}
# The hints of the HTTP contract name routes and headers; these name commands.
_HINTS: Mapping[str, str] = {
    "tenant_not_found": "tenants-api tenants list",
    "realm_not_found": "tenants-api realms list TENANT",
    "not_found": "tenants-api admin-keys list",
    "external_id_taken": "find its tenant with: tenants-api tenants list --external-id ID",
    "issuer_taken": "find its tenant with: tenants-api tenants list --issuer ISSUER; "
    "then tenants-api realms remove there, or purge the tenant",
    "etag_mismatch": "the tenant was changed by another command meanwhile: run this one again",
    "realm_not_ready": "follow the failed condition's message, then run the command again",
    "invalid_state_transition": "use one of the transitions that are allowed: tenants-api tenants --help",
    "registry_unavailable": "tenants-api doctor",
    "keys_unavailable": "run the command again in some seconds, or tenants-api realms check TENANT",
    "invalid_request": "correct the text and run the command again",
}
_OF_DATABASE = (SQLAlchemyError, StorageError)


class CliError(Exception):
    """A command failed. `hint` is the command or setting that helps, `code` the exit code."""

    def __init__(self, message: str, *, hint: str | None = None, code: int = ERROR) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


EXPECTED = (ApiError, CliError, NotReady, MigrationError, SettingsError, *_OF_DATABASE, OSError)


def report(error: Exception) -> int:
    """Print the error and its hint on stderr; returns the exit code."""
    if isinstance(error, ApiError):
        return _report_api_error(error)
    if isinstance(error, CliError):
        return _lines(str(error), hint=error.hint, code=error.code)
    if isinstance(error, (NotReady, MigrationError)):
        unknown_revision = isinstance(error.__cause__, CommandError)
        return _lines(str(error), hint=None, code=ERROR if unknown_revision else UNREACHABLE)
    if isinstance(error, _OF_DATABASE):
        return _lines(f"the database failed: {_first_line(error)}", hint="tenants-api doctor", code=UNREACHABLE)
    return _lines(str(error), hint=None, code=ERROR)


def exit_code(error: ApiError) -> int:
    """The exit code for an error of the API."""
    return _BY_CODE.get(error.code) or _BY_STATUS.get(error.status, ERROR)


def _report_api_error(error: ApiError) -> int:
    _lines(f"{error.detail} [{error.code}]", hint=None, code=ERROR)
    for field in error.errors:
        say(f"  {field.pointer}: {field.detail}")
    for realm in error.extra.get("report", {}).get("realms", ()):
        for condition in realm["conditions"]:
            if condition["status"] == "False":
                say(f"  {condition['type']}: {condition['reason']}: {condition['message']}")
    if not error.errors:
        say(f"hint: {_HINTS.get(error.code, error.hint)}", style="dim")
    return exit_code(error)


def _lines(message: str, *, hint: str | None, code: int) -> int:
    say(f"error: {message}", style="red")
    if hint:
        say(f"hint: {hint}", style="dim")
    return code


def _first_line(error: Exception) -> str:
    # The driver's message: SQLAlchemy's also has the statement and its parameters.
    return first_line(error.orig if isinstance(error, DBAPIError) and error.orig else error)
