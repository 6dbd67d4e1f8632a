"""A PostgreSQL server of the test run's own: made by initdb in a temporary folder, gone at the end.

Each test makes a fresh database with the two roles of a production set-up: `tenants_owner`, which migrates, and
`tenants_app`, which owns nothing and cannot pass row-level security. Knows nothing of the tables inside.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.support.ports import free_port

OWNER, APP, SUPERUSER = "tenants_owner", "tenants_app", "postgres"
READY_DEADLINE = 60.0
STOP_DEADLINE = 60.0
# The data lives for one run: what guards it against a power cut only costs time.
OPTIONS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


class PostgresFailed(Exception):
    """The server could not be made or started; the message ends with what it printed last."""


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A running server on the loopback interface; no password is asked for."""

    port: int

    def create_database(self) -> str:
        """A fresh, empty database; gives the owner's URL, `postgresql+psycopg://…`."""
        name = f"test_{uuid4().hex}"
        with self._superuser("postgres") as connection:
            connection.execute(
                sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(OWNER))
            )
        with self._superuser(name) as connection:
            connection.execute("revoke all on schema public from public")
            connection.execute(sql.SQL("grant usage on schema public to {}").format(sql.Identifier(APP)))
            connection.execute(sql.SQL("alter schema public owner to {}").format(sql.Identifier(OWNER)))
            for rights in ("select, insert, update, delete on tables", "usage, select on sequences"):
                connection.execute(_default_rights(rights))
        return self.url(name, role=OWNER)

    def app_url(self, owner_url: str) -> str:
        """The same database for the role of the running application."""
        return self.url(owner_url.rpartition("/")[2], role=APP)

    def superuser_url(self, owner_url: str) -> str:
        """The same database for the superuser."""
        return self.url(owner_url.rpartition("/")[2], role=SUPERUSER)

    def url(self, database: str, *, role: str) -> str:
        return f"postgresql+psycopg://{role}@127.0.0.1:{self.port}/{database}"

    def _superuser(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{database}", autocommit=True)


def find_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: the newest of the Debian packages, else the one on the PATH."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    found = [path.parent for path in reversed(packaged)] + ([Path(on_path).resolve().parent] if on_path else [])
    return next((folder for folder in found if (folder / "postgres").exists()), None)


@contextmanager
def running_postgres(binaries: Path) -> Iterator[PostgresServer]:
    """A fresh server with both roles; ready inside the block, gone with its data after it.

    Raises:
        PostgresFailed: initdb failed, or the server did not become ready.
    """
    folder = Path(tempfile.mkdtemp(prefix="tenants-pg-"))
    try:
        identity = other_user(folder)
        initdb(binaries, folder=folder, identity=identity)
        process, server = start_postgres(binaries, folder=folder, identity=identity)
        try:
            make_roles(server)
            yield server
        finally:
            stop_postgres(process)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def other_user(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: root hands its folder to `postgres`, or `nobody` where that is missing."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            shutil.chown(folder, user=name)
        except LookupError:
            continue
        return {"user": name, "extra_groups": []}
    raise PostgresFailed("root cannot run PostgreSQL, and there is neither a user postgres nor nobody")


def initdb(binaries: Path, *, folder: Path, identity: dict[str, Any]) -> None:
    options = ["--username", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    done = subprocess.run(
        [binaries / "initdb", "--pgdata", folder / "data", *options],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **identity,
    )
    if done.returncode:
        raise PostgresFailed(f"initdb exited with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")


def start_postgres(
    binaries: Path, *, folder: Path, identity: dict[str, Any], options: Mapping[str, str] = MappingProxyType({})
) -> tuple[subprocess.Popen[bytes], PostgresServer]:
    log = folder / "server.log"
    for _ in range(3):  # somebody else may take the free port in between
        server = PostgresServer(port=free_port())
        with log.open("wb") as output:
            process = subprocess.Popen(
                server_command(binaries, folder=folder, port=server.port, options=options),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **identity,
            )
        if is_ready(process, server=server):
            return process, server
        stop_postgres(process)
    raise PostgresFailed(f"PostgreSQL did not start:\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}")


def server_command(binaries: Path, *, folder: Path, port: int, options: Mapping[str, str]) -> list[str]:
    own = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": str(folder)}
    words = [part for name, value in (own | OPTIONS | dict(options)).items() for part in ("-c", f"{name}={value}")]
    return [str(binaries / "postgres"), "-D", str(folder / "data"), *words]


def is_ready(process: subprocess.Popen[bytes], *, server: PostgresServer) -> bool:
    deadline = time.monotonic() + READY_DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server._superuser("postgres").close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return True
    return False


def make_roles(server: PostgresServer) -> None:
    with server._superuser("postgres") as connection:
        for role in (OWNER, APP):
            connection.execute(
                sql.SQL("create role {} login nosuperuser nocreatedb nocreaterole nobypassrls").format(
                    sql.Identifier(role)
                )
            )


def _default_rights(rights: LiteralString) -> sql.Composed:
    statement = "alter default privileges for role {} in schema public grant " + rights + " to {}"
    return sql.SQL(statement).format(sql.Identifier(OWNER), sql.Identifier(APP))


def stop_postgres(process: subprocess.Popen[bytes]) -> None:
    """A fast shutdown, which does not wait for clients; the process is one that `start_postgres` gave."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
