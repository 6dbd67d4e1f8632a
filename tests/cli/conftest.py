"""The CLI on a database of its own in tmp_path, beside development realms that really listen."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.main import get_command
from typer.testing import CliRunner

from tenants_api.cli.commands import app
from tenants_api.devkit.realms import DevRealmServer, serve_dev_realms

CLIENT_ID = "tenants-api"
COMMAND = get_command(app)  # `CliRunner.invoke` would build the whole tree again for every call


@contextmanager
def logging_as_before() -> Iterator[None]:
    """A command sets the logging of its process: here it is that of the tests that come after it."""
    configured, before = structlog.is_configured(), structlog.get_config()
    handlers, level = logging.root.handlers[:], logging.root.level
    try:
        yield
    finally:
        structlog.configure(**before) if configured else structlog.reset_defaults()
        logging.root.handlers[:] = handlers
        logging.root.setLevel(level)


@dataclass(frozen=True)
class Said:
    """What one command said, and how it ended."""

    code: int
    out: str
    talk: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Cli:
    """Runs commands with one environment."""

    environment: dict[str, str]

    def __call__(self, *words: str, stdin: str | None = None) -> Said:
        with (
            logging_as_before(),
            CliRunner().isolation(input=stdin, env={"COLUMNS": None} | self.environment) as (out, talk, _),
        ):
            with pytest.raises(SystemExit) as end:
                COMMAND.main(args=list(words), prog_name="tenants-api")
            sys.stdout.flush()
            said = [stream.getvalue().decode("utf-8", "replace").replace("\r\n", "\n") for stream in (out, talk)]
        return Said(int(end.value.code or 0), *said)

    def json(self, *words: str, stdin: str | None = None) -> Any:
        """The data of a command that must succeed."""
        said = self(*words, "--json", stdin=stdin)
        assert said.code == 0, said.talk
        return said.data


@pytest.fixture(scope="session")
def realms() -> Iterator[DevRealmServer]:
    with serve_dev_realms(["acme", "globex"]) as server:
        yield server


@pytest.fixture
def unmigrated(tmp_path: Path, realms: DevRealmServer) -> Cli:
    host = realms.base_url.partition("://")[2]
    return Cli(
        {
            "TENANTS_DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path / 'cli.db'}",
            "TENANTS_INSECURE_HTTP_HOSTS": host,
            "TENANTS_ALLOWED_PRIVATE_NETWORKS": "127.0.0.0/8",
            "TENANTS_ALLOWED_REALM_PORTS": str(realms.port),
            "NO_COLOR": "1",
        }
    )


@pytest.fixture
def cli(unmigrated: Cli, migrated_file: Path, tmp_path: Path) -> Cli:
    shutil.copy(migrated_file, tmp_path / "cli.db")
    return unmigrated


@pytest.fixture
def acme(cli: Cli, realms: DevRealmServer) -> dict[str, Any]:
    """acme, registered and active."""
    tenant: dict[str, Any] = cli.json(
        "tenants", "create", "acme", "--issuer", realms.realm("acme").issuer, "--client-id", CLIENT_ID
    )
    return tenant
