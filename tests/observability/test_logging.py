"""What may not get into a log, and what a log line looks like."""

from __future__ import annotations

import json
import logging as standard
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import uvicorn

from tenants_api.observability import logging
from tenants_api.server.options import server_options

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lkIn0.c2lnbmF0dXJl"
ADMIN_KEY = "tak_0123abcd_s3cr3t-s3cr3t"


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    handlers, level = standard.root.handlers[:], standard.root.level
    access = standard.getLogger("uvicorn.access").propagate
    yield
    standard.getLogger("uvicorn.access").propagate = access
    standard.root.handlers[:] = handlers
    standard.root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Any:
    logging.configure(format="json", level="info")
    return lambda: [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        JWT,
        f"refused {JWT} from x",
        JWT.rpartition(".")[0],
        ADMIN_KEY,
        "Bearer abcdefghijkl",
        "ewogICJhbGciOiAibm9uZSI.e30x.",
    ],
)
def test_token_or_key_in_any_value_is_redacted(lines: Any, text: str) -> None:
    structlog.get_logger().info("event", detail=text, nested={"list": [text]})

    (line,) = lines()
    assert text not in json.dumps(line)
    assert "[redacted]" in line["detail"]


@pytest.mark.parametrize("key", ["token", "password", "Authorization", "client_secret", "access_token", "api_key"])
def test_value_under_a_secret_name_is_redacted(lines: Any, key: str) -> None:
    structlog.get_logger().info("event", **{key: "hunter2"}, form={key: "hunter2"})

    assert "hunter2" not in json.dumps(lines())


def test_access_log_of_uvicorn_has_no_query_string(lines: Any) -> None:
    """E22: the message is uvicorn's."""
    logging.configure(format="json", level="info")  # a second time, which must not change anything
    options = server_options(host="", port=0, workers=1, uds=None, max_token_bytes=8192, access_log=True)
    config = uvicorn.Config("nowhere:app", **options)
    assert config.access_log
    standard.getLogger("uvicorn.access").propagate = True  # off after any server without an access log in this process
    arguments = ("10.0.0.7:4711", "GET", "/orders?session=hunter2", "1.1", 200)
    standard.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *arguments)

    (line,) = lines()
    assert line["event"] == '10.0.0.7:4711 - "GET /orders HTTP/1.1" 200'


def test_ordinary_values_stay(lines: Any) -> None:
    structlog.get_logger().info(
        "tenant_suspended", tenant="acme", verified_tokens=3, issuer="https://id.example.com/realms/a"
    )

    (line,) = lines()
    assert line["tenant"] == "acme"
    assert line["verified_tokens"] == 3
    assert line["issuer"] == "https://id.example.com/realms/a"
    assert line["level"] == "info"
    assert line["timestamp"].endswith("Z")


def test_database_password_is_redacted_and_its_host_stays(lines: Any) -> None:
    structlog.get_logger().info("event", url="postgresql+psycopg://app:hunter2@db.internal/tenants")

    (line,) = lines()
    assert line["url"] == "postgresql+psycopg://app:[redacted]@db.internal/tenants"


def test_long_value_is_cut(lines: Any) -> None:
    structlog.get_logger().info("event", kid="k" * 100_000)

    assert len(lines()[0]["kid"]) == logging.MAX_VALUE_CHARACTERS + 1


def test_line_break_cannot_forge_a_second_event(capsys: pytest.CaptureFixture[str]) -> None:
    logging.configure(format="console", level="info")
    structlog.get_logger().info("event", kid="x\n2026-01-01 [error] forged\x1b[2J")

    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert "\x1b[2J" not in said


def test_exception_text_is_redacted(lines: Any) -> None:
    try:
        raise ValueError(f"bad token {JWT}")
    except ValueError:
        structlog.get_logger().exception("failed")

    (line,) = lines()
    assert "ValueError" in line["exception"]
    assert JWT not in line["exception"]


def test_records_of_libraries_are_events_too(lines: Any) -> None:
    standard.getLogger("some.library").warning("refused %s", JWT)

    (line,) = lines()
    assert line["logger"] == "some.library"
    assert line["level"] == "warning"
    assert JWT not in line["event"]


def test_bound_context_is_on_every_event(lines: Any) -> None:
    bound = logging.bind(request_id="r-1", tenant="acme")
    structlog.get_logger().info("one")
    logging.release(bound)
    structlog.get_logger().info("two")

    one, two = lines()
    assert (one["request_id"], one["tenant"]) == ("r-1", "acme")
    assert "request_id" not in two


def test_events_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    logging.configure(format="json", level="warning")
    structlog.get_logger().info("quiet")

    assert capsys.readouterr().err == ""
