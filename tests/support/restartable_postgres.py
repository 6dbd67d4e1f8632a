"""A PostgreSQL server of a test's own that is ended, started again, set up otherwise or made a standby."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from tests.support.postgres import (
    STOP_DEADLINE,
    SUPERUSER,
    PostgresFailed,
    PostgresServer,
    initdb,
    is_ready,
    make_roles,
    other_user,
    server_command,
    start_postgres,
    stop_postgres,
)


class PostgresProcess:
    """A server of its own that keeps its port and data while it is ended and started again.

    `options` are server settings; relative paths in them are below the data folder. `files` are put there first.
    With `primary` it is a standby of that server, streaming from it until it is promoted.
    """

    def __init__(
        self,
        binaries: Path,
        *,
        folder: Path,
        options: Mapping[str, str] = MappingProxyType({}),
        files: Mapping[str, bytes] = MappingProxyType({}),
        primary: PostgresServer | None = None,
    ) -> None:
        self._binaries, self._folder, self._options = binaries, folder, options
        self._identity = other_user(folder)
        if primary is None:
            initdb(binaries, folder=folder, identity=self._identity)
        else:
            self._run("pg_basebackup", "-D", str(folder / "data"), "-h", "127.0.0.1", "-p", str(primary.port),
                      "-U", SUPERUSER, "-R", "-X", "stream", "-c", "fast")  # fmt: skip
        for name, content in files.items():
            path = folder / "data" / name
            path.write_bytes(content)
            path.chmod(0o600)
            if self._identity:
                shutil.chown(path, user=self._identity["user"])
        self._process, self.server = start_postgres(binaries, folder=folder, identity=self._identity, options=options)
        if primary is None:
            make_roles(self.server)

    def promote(self) -> None:
        """A standby takes over; returns when it takes writes."""
        self._run("pg_ctl", "promote", "-D", str(self._folder / "data"), "-w")

    def signal(self, number: signal.Signals) -> None:
        """SIGINT ends all sessions and stops in order; SIGKILL leaves it no time for anything."""
        if number == signal.SIGKILL:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)
        self._process.wait(STOP_DEADLINE)

    def start(self) -> None:
        """Start it again on the same port and data."""
        with (self._folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                server_command(self._binaries, folder=self._folder, port=self.server.port, options=self._options),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **self._identity,
            )
        if not is_ready(self._process, server=self.server):
            raise PostgresFailed("PostgreSQL did not start again")

    def stop(self) -> None:
        if self._process.poll() is None:
            stop_postgres(self._process)

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [self._binaries / program, *words], cwd=self._folder, capture_output=True, text=True, check=False,
            **self._identity,
        )  # fmt: skip
        if done.returncode:
            raise PostgresFailed(f"{program} exited with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")


@contextmanager
def restartable_postgres(
    binaries: Path,
    *,
    options: Mapping[str, str] = MappingProxyType({}),
    files: Mapping[str, bytes] = MappingProxyType({}),
    primary: PostgresServer | None = None,
) -> Iterator[PostgresProcess]:
    """See `PostgresProcess`; gone with its data after the block.

    Raises:
        PostgresFailed: a program of PostgreSQL failed, or the server did not become ready.
    """
    folder = Path(tempfile.mkdtemp(prefix="tenants-pg-"))
    try:
        process = PostgresProcess(binaries, folder=folder, options=options, files=files, primary=primary)
        try:
            yield process
        finally:
            process.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
