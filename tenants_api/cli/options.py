"""Options that more than one command takes, and the form of a role rule on a command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from tenants_api.cli.exits import USAGE, Stopped

_QUOTED = re.compile(r'"((?:[^"]|"")+)",(.*)')  # as in CSV (RFC 4180)


class Activation(StrEnum):
    """What to do once the checks ran."""

    WHEN_READY = "when_ready"
    NOW = "now"
    NEVER = "never"


class IssuerCheckMode(StrEnum):
    """Whether the realm's discovery document must state the issuer."""

    DISCOVERY = "discovery"
    SAMPLE = "sample"


class BulkActivation(StrEnum):
    """The same for a whole file; `unchecked` asks no realm, for imports and moves between databases."""

    WHEN_READY = "when_ready"
    NOW = "now"
    NEVER = "never"
    UNCHECKED = "unchecked"


Issuer = Annotated[str, typer.Option("--issuer", help="Exactly what the tokens bear as `iss`.")]
ClientId = Annotated[str, typer.Option("--client-id", help="This API's client in the realm.")]
RealmUrl = Annotated[
    str | None, typer.Option("--realm-url", help="Where the realm is reached; the issuer if left out.")
]
IssuerCheck = Annotated[
    IssuerCheckMode | None,
    typer.Option("--issuer-check", help="`sample`: the discovery document may state another issuer (no KC_HOSTNAME)."),
]
Organization = Annotated[str | None, typer.Option("--organization", help="Only this organization of the realm.")]
Audiences = Annotated[list[str] | None, typer.Option("--audience", help="One must be in `aud`; the client id if none.")]
AuthorizedParties = Annotated[
    list[str] | None, typer.Option("--authorized-party", help="Only tokens of this client; any if none.")
]
Algorithms = Annotated[list[str] | None, typer.Option("--algorithm", help="RS256 if none.")]
Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--rule",
        metavar="FROM,VALUE,ROLE",
        help="Role mapping: `realm,manager,admin`, `client:web,edit,editor`, `group,/staff,viewer`. A client id with a "
        'comma stands in quotes: `"client:a,b",edit,editor`.',
    ),
]


def parse_rules(lines: Sequence[str]) -> list[dict[str, str]]:
    """`FROM,VALUE,ROLE` each; the value may hold commas, a source in double quotes too."""
    return [_rule(line) for line in lines]


def _rule(line: str) -> dict[str, str]:
    quoted = _QUOTED.fullmatch(line)
    source, rest = (quoted[1].replace('""', '"'), quoted[2]) if quoted else line.partition(",")[::2]
    value, comma, role = rest.rpartition(",")
    if not (source and comma and value and role):
        raise Stopped(f"--rule {line!r} is not FROM,VALUE,ROLE", cure="--rule realm,manager,admin", code=USAGE)
    return {"from": source, "value": value, "role": role}
