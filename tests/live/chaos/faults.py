"""The faults, by name. Each is over when its function returns; what it must end, is checked inside."""

from __future__ import annotations

import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from tests.live.chaos.stage import LIFETIME, Stage
from tests.support.processes import wait_for


@dataclass(frozen=True)
class Fault:
    """`ends_api`: the API itself is ended, so calls may stay without an answer; none may be answered wrongly."""

    name: str
    happen: Callable[[Stage], None]
    ends_api: bool = False
    database: str = "sqlite"

    def __str__(self) -> str:
        return self.name


def rotate(stage: Stage) -> None:
    """A new key signs, the old one stays listed: the first use of the new one is accepted."""
    stage.keycloak.admin.rotate_signing_key("shaken")
    fresh = stage.token()
    assert stage.status(fresh) == 200
    assert stage.is_accepted(stage.shaken.token)
    stage.shaken.go_on(token=fresh)
    time.sleep(LIFETIME)


def rotate_five_times(stage: Stage) -> None:
    first = stage.token()
    for _ in range(5):
        stage.keycloak.admin.rotate_signing_key("shaken")
        assert stage.status(stage.token()) == 200
    assert stage.is_accepted(first)
    stage.shaken.go_on(token=stage.token())
    time.sleep(LIFETIME)


def withdraw_key(stage: Stage) -> None:
    """Rotate and delete the old key: its tokens end within the lifetime, the new key's never falter."""
    old_kid, old = stage.keycloak.admin.signing_kid("shaken"), stage.token()
    stage.keycloak.admin.rotate_signing_key("shaken")
    stage.shaken.go_on(token=stage.token())
    stage.keycloak.admin.withdraw_key("shaken", old_kid)
    stage.refused_in_time(old)


def disable_realm(stage: Stage) -> None:
    token = stage.token()
    stage.shaken.pause()
    stage.keycloak.admin.set_enabled("shaken", enabled=False)
    stage.refused_in_time(token)
    stage.keycloak.admin.set_enabled("shaken", enabled=True)
    stage.accepted_in_time(token)
    stage.shaken.go_on(token=token)


def push_not_before(stage: Stage) -> None:
    old = stage.token()
    stage.shaken.pause()
    time.sleep(2.1)
    stage.keycloak.admin.set_not_before("shaken", int(time.time()) - 1)
    stage.keycloak.admin.push_revocation("shaken")
    stage.shaken.go_on(token=stage.token())
    stage.refused_in_time(old)


def logout_all(stage: Stage) -> None:
    old = stage.token()
    stage.shaken.pause()
    time.sleep(1.1)
    stage.keycloak.admin.logout_all("shaken")
    stage.shaken.go_on(token=stage.token())
    stage.refused_in_time(old)


def kill_keycloak(stage: Stage) -> None:
    """kill -9, and back."""
    stage.keycloak.process.signal(signal.SIGKILL)
    stage.keycloak.process.start()
    stage.keycloak.admin.forget_session()
    assert stage.status(stage.token()) == 200


def stop_keycloak_beyond_the_lifetime(stage: Stage) -> None:
    stage.keycloak.process.stop()
    time.sleep(3 * LIFETIME)
    stage.keycloak.process.start()
    stage.keycloak.admin.forget_session()
    assert stage.status(stage.token()) == 200


def suspend_keycloak(seconds: float) -> Callable[[Stage], None]:
    """SIGSTOP: it takes connections and never answers."""

    def happen(stage: Stage) -> None:
        stage.keycloak.process.signal(signal.SIGSTOP)
        time.sleep(seconds)
        stage.keycloak.process.signal(signal.SIGCONT)
        stage.keycloak.admin.forget_session()
        assert stage.status(stage.token()) == 200

    return happen


def bad_network(mode: str) -> Callable[[Stage], None]:
    """The realm is reached badly for two lifetimes, then well again."""

    def happen(stage: Stage) -> None:
        stage.recover()
        before = stage.proxy.requests
        stage.proxy.mode = mode
        time.sleep(2 * LIFETIME)
        stage.proxy.mode = "pass"
        assert stage.proxy.requests > before, "nobody asked the realm meanwhile"
        stage.recover()

    return happen


def rotate_behind_a_broken_network(stage: Stage) -> None:
    """The first token of a key that nobody could learn of is accepted as soon as the realm can be reached."""
    stage.proxy.mode = "drop"
    time.sleep(2 * LIFETIME)
    stage.keycloak.admin.rotate_signing_key("shaken")
    fresh = stage.token()
    assert stage.is_accepted(stage.shaken.token)
    stage.proxy.mode = "pass"
    assert stage.status(fresh) == 200
    stage.shaken.go_on(token=fresh)


def restart_api(stage: Stage) -> None:
    stage.process.stop()
    stage.process.start()
    assert stage.is_accepted(stage.shaken.token)


def kill_api(stage: Stage) -> None:
    stage.process.kill()
    stage.process.start()
    assert stage.is_accepted(stage.shaken.token)


def restart_api_without_keycloak(stage: Stage) -> None:
    """Nobody to ask for keys: the stored ones serve from the first request on."""
    stage.keycloak.process.signal(signal.SIGSTOP)
    stage.process.stop()
    stage.process.start()
    assert stage.is_accepted(stage.shaken.token)
    assert stage.is_accepted(stage.calm.token)
    stage.keycloak.process.signal(signal.SIGCONT)
    stage.keycloak.admin.forget_session()


def restart_api_during_a_rotation(stage: Stage) -> None:
    old = stage.shaken.token
    stage.process.stop()
    stage.keycloak.admin.rotate_signing_key("shaken")
    fresh = stage.token()
    stage.process.start()
    assert stage.is_accepted(fresh)
    assert stage.is_accepted(old)
    stage.shaken.go_on(token=fresh)


def restart_api_on_a_bad_network(stage: Stage) -> None:
    stage.proxy.mode = "garbage"
    stage.process.kill()
    stage.process.start()
    assert stage.is_accepted(stage.shaken.token)
    stage.proxy.mode = "pass"


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
            within=20,
            what="the database is back",
        )
        wait_for(
            lambda: {stage.status(stage.shaken.token) for _ in range(12)} == {403},
            within=5,
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


FAULTS = (
    Fault("rotate by priority", rotate),
    Fault("five rotations in a row", rotate_five_times),
    Fault("rotate and delete the old key", withdraw_key),
    Fault("disable and enable the realm", disable_realm),
    Fault("push not-before", push_not_before),
    Fault("log out all sessions", logout_all),
    Fault("kill -9 Keycloak", kill_keycloak),
    Fault("stop Keycloak beyond the lifetime", stop_keycloak_beyond_the_lifetime),
    Fault("suspend Keycloak for 20 s", suspend_keycloak(20)),
    *(Fault(f"network: {mode}", bad_network(mode)) for mode in ("latency", "drop", "truncate", "500", "garbage")),
    Fault("rotate behind a broken network", rotate_behind_a_broken_network),
    Fault("restart the API", restart_api, ends_api=True),
    Fault("kill -9 the API", kill_api, ends_api=True),
    Fault("restart the API while Keycloak hangs", restart_api_without_keycloak, ends_api=True),
    Fault("restart the API during a rotation", restart_api_during_a_rotation, ends_api=True),
    Fault("kill -9 the API on a bad network", restart_api_on_a_bad_network, ends_api=True),
    Fault("disk full", disk_full),
    Fault("SQLite locked by somebody else", database_locked),
    Fault("SQLite file read-only", read_only_file, ends_api=True),
    Fault("PostgreSQL restarted", restart_postgres(signal.SIGINT), database="postgres"),
    Fault("kill -9 PostgreSQL", restart_postgres(signal.SIGKILL), database="postgres"),
)
