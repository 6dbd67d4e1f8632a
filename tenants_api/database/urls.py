"""What a database URL means to its driver: the same as SQLAlchemy reads out of it, without SQLAlchemy.

sqlite+aiosqlite:///relative.db    sqlite+aiosqlite:////absolute.db    …///file:name?mode=ro&uri=true
postgresql+psycopg://user:password@host:port/database?host=h1:p1&host=h2:p2&target_session_attrs=read-write&sslmode=…
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

Query = Mapping[str, str | list[str]]
_URL = re.compile(
    r"\A[\w+]+://"
    r"(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)
_ONE_HOST = re.compile(r"\A([a-zA-Z0-9\-.]*):(\d*)\Z")
_TRUE, _FALSE = ("true", "yes", "on", "y", "t", "1"), ("false", "no", "off", "n", "f", "0")


class BadUrl(ValueError):
    """The URL cannot be read. The message does not repeat it: a password may stand in it."""


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """What SQLite opens: a path, or a `file:` URI. `memory` is a database that no other process sees."""

    name: str
    uri: bool = False
    memory: bool = False


def is_sqlite(url: str) -> bool:
    """Whether it is a URL of SQLite; the settings let no third kind in."""
    return url.startswith("sqlite")


def sqlite_file(url: str) -> SqliteFile:
    """What a URL of SQLite opens.

    Raises:
        BadUrl: it names a host, or an option that is none.
    """
    found = _match(url)
    if any(found[name] for name in ("user", "password", "host", "ipv6", "port")):
        raise BadUrl("a URL of SQLite names no host: sqlite+aiosqlite:///tenants.db")
    query = {name: value for name, value in _query(found["query"]).items() if isinstance(value, str)}
    query.pop("timeout", None)  # how long a writer waits is ours to say
    path = unquote(found["database"] or "")
    if _is_true(query.pop("uri", "false")):
        options = "&".join(f"{name}={query[name]}" for name in sorted(query))
        memory = query.get("mode") == "memory" or path in ("", "file:", "file::memory:")
        return SqliteFile(f"{path}?{options}" if options else path, uri=True, memory=memory)
    memory = path in ("", ":memory:")
    return SqliteFile(":memory:" if memory else os.path.abspath(path), memory=memory)


def postgres_parameters(url: str) -> dict[str, Any]:
    """What psycopg connects with. An option that libpq knows is passed on as it stands.

    Raises:
        BadUrl: hosts and ports do not go together, or a port is no number.
    """
    found = _match(url)
    query = _query(found["query"])
    password = found["password"]
    told = {
        "host": found["host"] or found["ipv6"],
        "dbname": unquote(found["database"] or ""),
        "user": unquote(found["user"] or ""),
        "password": unquote(password) if password is not None else None,
        "port": _port(found["port"]),
    }
    return {name: value for name, value in told.items() if value} | dict(query) | _several(query)


def _several(query: Query) -> dict[str, str]:
    """`host=h1:p1&host=h2:p2`, `host=h1,h2&port=p1,p2`: hosts and ports as libpq wants them."""
    named, listed = query.get("host"), query.get("port")
    ports: Sequence[str] = [] if listed is None else listed if isinstance(listed, list) else listed.split(",")
    if isinstance(named, list):
        if ports:
            raise BadUrl("give host=h1:p1&host=h2:p2, or host=h1,h2&port=p1,p2")
        pairs = [one.split(":") if ":" in one else [one, ""] for one in named]
        if any(len(pair) != 2 for pair in pairs):
            raise BadUrl("a host of several is given as host=name:port")
        hosts, ports = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    else:
        hosts = named.split(",") if named is not None else []
        if len(hosts) == 1 and not ports and (one := _ONE_HOST.fullmatch(hosts[0])):
            hosts, ports = [one[1]], [one[2]]
    if ports and len(ports) != len(hosts) and not (len(ports) == 1 and len(hosts) < 2):
        raise BadUrl("there must be one port for each host")
    if not hosts:
        return {}
    numbers = ",".join(str(_port(port)) if port else "" for port in ports or [""] * len(hosts))
    return {"host": ",".join(hosts)} | ({"port": numbers} if numbers else {})


def _match(url: str) -> dict[str, str | None]:
    found = _URL.match(url)
    if found is None:
        raise BadUrl("it must be dialect+driver://user:password@host:port/database")
    return found.groupdict()


def _query(text: str | None) -> dict[str, str | list[str]]:
    """An option that stands several times is a list; one without a value is none."""
    found: dict[str, str | list[str]] = {}
    for name, value in parse_qsl(text or ""):
        before = found.get(name)
        if before is None:
            found[name] = value
        else:
            found[name] = [*before, value] if isinstance(before, list) else [before, value]
    return found


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise BadUrl("a port is a number; several hosts are given as ?host=h1:p1&host=h2:p2") from error


def _is_true(text: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE + _FALSE:
        raise BadUrl("uri is true or false")
    return word in _TRUE
