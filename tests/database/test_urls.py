"""A database URL means to forward auth alone what it means to SQLAlchemy, which the whole API leaves it to."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from tenants_api.database.urls import BadUrl, SqliteFile, is_sqlite, postgres_parameters, sqlite_file

GOOD = [
    "u:p@h/db",
    "u@h:5433/db",
    "u:p%40x%2F%3F@h/db",
    "u:a:b@h/d",
    "u:p+q@h/d%20e",
    "u:@h/db",
    "u:p@h1,h2/db?target_session_attrs=read-write&sslmode=verify-full&sslrootcert=/etc/a%20b.pem",
    "u:p@/db?host=/var/run/postgresql",
    "u:p@/db?host=h1:1&host=h2:2&target_session_attrs=read-write",
    "u:p@/db?host=h1:1&host=h2",
    "u:p@/db?host=h1&host=h2",
    "u:p@/db?host=h1,h2&port=1,2",
    "u:p@/db?host=h1,h2&port=1,",
    "u:p@/db?host=h1,h2&port=,",
    "u:p@/db?host=h1,h2",
    "u:p@/db?host=h1:99",
    "u:p@/db?host=h1:",
    "u:p@/db?host=h_1:x",
    "u:p@/db?host=h1&port=1",
    "u:p@h:1/db?host=h1,h2",
    "u:p@h:1/db?host=h3",
    "u:p@h:1/db?port=7",
    "u@[::1]:5/db",
    "u@h/db?options=-csearch_path%3Dx&application_name=",
    "u@h/d?connect_timeout=3&keepalives=0",
    "h",
    "/db",
    "",
]
BAD = [
    "u@h1:1,h2:2/d",
    "u@h:/d",
    "u@h/d?host=h1,h2&port=1",
    "u@h/d?host=h1:1&host=h2:2&port=3",
    "u@h/d?port=1,2",
    "u@h/d?host=h1&port=x",
    "u@h/d?host=h1:x&host=h2",
    "u@h/d?host=a:b:c&host=d",
]


def theirs(rest: str) -> dict[str, Any]:
    url = make_url(f"postgresql+psycopg://{rest}")
    parameters: dict[str, Any] = url.get_dialect()().create_connect_args(url)[1]
    return parameters


@pytest.mark.parametrize("rest", GOOD)
def test_postgres_is_connected_to_with_the_same_words(rest: str) -> None:
    assert postgres_parameters(f"postgresql+psycopg://{rest}") == theirs(rest)


@pytest.mark.parametrize("rest", BAD)
def test_url_that_neither_can_read_is_refused_without_repeating_it(rest: str) -> None:
    with pytest.raises((ArgumentError, ValueError)):
        theirs(rest)
    with pytest.raises(BadUrl) as refused:
        postgres_parameters(f"postgresql+psycopg://{rest}")
    assert rest not in str(refused.value)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "/tenants.db",
        "//var/lib/tenants.db",
        "/a%20b.db",
        "/:memory:",
        "/tenants.db?timeout=3",
        "/file:tenants.db?mode=ro&uri=true",
        "/file:one?mode=memory&cache=shared&uri=true",
    ],
)
def test_sqlite_opens_the_same_file(rest: str) -> None:
    url = make_url(f"sqlite+aiosqlite://{rest}")
    (name,), options = url.get_dialect()().create_connect_args(url)
    found = sqlite_file(f"sqlite+aiosqlite://{rest}")
    assert (found.name, found.uri) == (name, options.get("uri", False))
    assert found.memory == ("memory" in name)


def test_sqlite_has_no_host_and_its_options_are_words_that_it_knows() -> None:
    for rest in ("host/tenants.db", "/file:x?uri=perhaps"):
        with pytest.raises(BadUrl):
            sqlite_file(f"sqlite+aiosqlite://{rest}")
    with pytest.raises(BadUrl):
        postgres_parameters("nonsense")
    assert sqlite_file("sqlite+aiosqlite://") == SqliteFile(":memory:", memory=True)
    assert is_sqlite("sqlite+aiosqlite:///x")
    assert not is_sqlite("postgresql+psycopg://sqlite/x")
