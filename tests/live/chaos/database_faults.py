"""Faults of the database: full, locked, read-only or gone, while tokens go on being verified."""

from __future__ import annotations

import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from tests.live.chaos.stage import LIFETIME, Stage
from tests.support.processes import wait_for


def disk_full(stage: Stage) -> None:
    """No file of the API may grow: keys cannot be stored, admin calls fail in order, tokens are verified as ever."""
    with _no_file_may_grow(stage):
        stage.keycloak.admin.rotate_signing_key("shaken")
        fresh = stage.token()
        assert stage.status(fresh) == 200
        refused = stage.api.admin("POST", "/tenants", json={"slug": "nobody", "name": "Nobody", "realms": []})
        assert refused.status_code in (422, 503), refused.text
        named = stage.api.admin("POST", f"/tenants/{stage.tenants['calm'].id}/suspend", json={})
        assert (named.status_code, named.json()["code"]) == (503, "registry_unavailable"), named.text
        time.sleep(LIFETIME)
        assert stage.is_accepted(stage.calm.token)
    assert stage.api.admin("GET", f"/tenants/{stage.tenants['calm'].id}").json()["state"] == "active"
    stage.shaken.go_on(token=fresh)
    time.sleep(1)


def database_locked(stage: Stage) -> None:
    """Somebody else holds the SQLite file: nothing can be written, nobody's token is refused."""
    with closing(sqlite3.connect(stage.folder / "tenants.db", timeout=20, isolation_level=None)) as other:
        other.execute("begin immediate")
        stage.keycloak.admin.rotate_signing_key("shaken")
        fresh = stage.token()
        assert stage.status(fresh) == 200
        time.sleep(2 * LIFETIME)
        other.execute("rollback")
    stage.shaken.go_on(token=fresh)


def read_only_file(stage: Stage) -> None:
    """Started on a file that it may only read: what is registered is served, no change is half made."""
    file = stage.folder / "tenants.db"
    stage.process.stop()
    file.chmod(0o444)
    stage.process.start()
    try:
        stage.keycloak.admin.rotate_signing_key("shaken")
        fresh = stage.token()
        assert stage.status(fresh) == 200
        assert stage.is_accepted(stage.shaken.token)
        refused = stage.api.admin("POST", f"/tenants/{stage.tenants['calm'].id}/suspend", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "registry_unavailable"), refused.text
        time.sleep(LIFETIME)
        assert stage.is_accepted(stage.calm.token)
    finally:
        stage.process.stop()
        for one in stage.folder.glob("tenants.db*"):  # SQLite gave its log the mode of the file
            one.chmod(0o644)
        stage.process.start()
    path = f"/tenants/{stage.tenants['calm'].id}"
    written = stage.api.admin("PATCH", path, json={"metadata": {"read": "only"}}, headers={"If-Match": "*"})
    assert written.status_code == 200, written.text
    assert stage.api.admin("GET", f"/tenants/{stage.tenants['calm'].id}").json()["state"] == "active"
    stage.shaken.go_on(token=fresh)


def restart_postgres(number: signal.Signals) -> Callable[[Stage], None]:
    """The database goes away for a lifetime and comes back; a change made after that is law as ever."""

    def happen(stage: Stage) -> None:
        server = stage.postgres
        assert server is not None
        server.signal(number)
        refused = stage.api.admin("POST", f"/tenants/{stage.tenants['calm'].id}/suspend", json={})
        assert (refused.status_code, refused.json()["code"]) == (503, "registry_unavailable"), refused.text
        time.sleep(LIFETIME)
        assert stage.is_accepted(stage.shaken.token)
        server.start()
        path = f"/tenants/{stage.tenants['shaken'].id}"
        stage.shaken.pause()
        wait_for(
            lambda: stage.api.admin("POST", f"{path}/suspend", json={}).status_code == 200,
            what="the database is back",
        )
        wait_for(
            lambda: {stage.status(stage.shaken.token) for _ in range(12)} == {403},
            what="the suspension is law",
        )
        assert stage.api.admin("POST", f"{path}/resume", json={}).status_code == 200
        stage.accepted_in_time(stage.shaken.token)
        stage.shaken.go_on(token=stage.shaken.token)

    return happen


@contextmanager
def _no_file_may_grow(stage: Stage) -> Iterator[None]:
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in stage.process.processes()}
    for pid, (_, hard) in limits.items():
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
