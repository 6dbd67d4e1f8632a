"""Options of several commands, and the syntax of a role rule."""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from tenants_api.cli.exits import USAGE, CliError
from tenants_api.schemas.tenants import RealmIn

Command = TypeVar("Command", bound=Callable[..., None])

_QUOTED = re.compile(r'"((?:[^"]|"")+)",(.*)')  # as in CSV (RFC 4180)


class Activation(StrEnum):
    """When to activate a new tenant."""

    WHEN_READY = "when_ready"
    NOW = "now"
    NEVER = "never"


class BulkActivation(StrEnum):
    """As `Activation`, for a file; `unchecked` runs no checks, for imports and moves between databases."""

    WHEN_READY = "when_ready"
    NOW = "now"
    NEVER = "never"
    UNCHECKED = "unchecked"


# Options of lists are repeated, and a PEM is given as a file.
_FLAGS = {
    "audiences": "--audience",
    "authorized_parties": "--authorized-party",
    "algorithms": "--algorithm",
    "ca_bundle": "--ca-file",
}
Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        metavar="FROM,VALUE,ROLE",
        help="Role mapping: `realm,manager,admin`, `client:web,edit,editor`, `group,/staff,viewer`. A client id with a "
        'comma is put in quotes: `"client:a,b",edit,editor`.',
    ),
]


def realm_options(schema: type[RealmIn]) -> Callable[[Command], Command]:
    """Give a command with `**members` an option for each member of a realm, with the schema's description."""

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        options = [_option(name, member) for name, member in schema.model_fields.items()]
        # Typer reads the signature (PEP 362).
        command.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        return command

    return decorate


def given_members(options: Mapping[str, Any]) -> dict[str, Any]:
    """The members that were given; an empty text resets a member to its default."""
    given: dict[str, Any] = {
        name: None if value in ("", [""]) else value for name, value in options.items() if value is not None
    }
    if given.get("ca_bundle") is not None:
        given["ca_bundle"] = read_text(Path(given["ca_bundle"]))
    return given


def _option(name: str, member: FieldInfo) -> inspect.Parameter:
    flag = _FLAGS.get(name, f"--{name.replace('_', '-')}")
    switch = f"{flag}/--no-{flag[2:]}" if member.annotation is bool else flag
    description = member.description or ""
    help_text = f"{description[:1].upper()}{description[1:]}."
    kind: Any = Annotated[_kind(member.annotation) | None, typer.Option(switch, help=help_text)]
    default = inspect.Parameter.empty if member.is_required() else None
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _kind(annotation: Any) -> Any:
    """The type for Typer: a switch, a choice, a list of texts, or a text."""
    for kind in (annotation, *get_args(annotation)):
        if kind is bool or get_origin(kind) is Literal:
            return kind
        if get_origin(kind) is list:
            return list[str]
    return str


def parse_rules(lines: Sequence[str]) -> list[dict[str, str]]:
    """Parse lines of `FROM,VALUE,ROLE`; VALUE may have commas, FROM only in double quotes."""
    return [_rule(line) for line in lines]


def _rule(line: str) -> dict[str, str]:
    quoted = _QUOTED.fullmatch(line)
    source, rest = (quoted[1].replace('""', '"'), quoted[2]) if quoted else line.partition(",")[::2]
    value, comma, role = rest.rpartition(",")
    if not (source and comma and value and role):
        raise CliError(f"--rule {line!r}; expected FROM,VALUE,ROLE", hint="--rule realm,manager,admin", code=USAGE)
    return {"from": source, "value": value, "role": role}


MAX_FILE_BYTES = 1024 * 1024


def read_text(path: Path | None) -> str:
    """The text of a file; `-` or None is stdin.

    Raises:
        CliError: it cannot be read, is not UTF-8 or is larger than 1 MiB.
    """
    try:
        raw = sys.stdin.buffer.read(MAX_FILE_BYTES + 1) if path is None or str(path) == "-" else _read(path)
        text = raw.decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"cannot read {path or 'stdin'}: {error}", code=USAGE) from error
    if len(raw) > MAX_FILE_BYTES:
        raise CliError(f"{path or 'stdin'} is larger than 1 MiB, the maximum", code=USAGE)
    return text


def read_object(path: Path | None) -> dict[str, Any]:
    """The JSON object in a file or stdin. Raises CliError."""
    return parse_object(read_text(path), name=str(path or "stdin"))


def parse_object(text: str, *, name: str) -> dict[str, Any]:
    """The JSON object in a text; `name` is for the message. Raises CliError."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise CliError(f"{name} is not valid JSON: {error}", code=USAGE) from error
    if not isinstance(value, dict):
        raise CliError(f"{name} is not a JSON object, but {type(value).__name__}", code=USAGE)
    return value


def _read(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(MAX_FILE_BYTES + 1)
