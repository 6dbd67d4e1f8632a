"""Faults of Keycloak and of the network before it: keys, switches, outages. What each must end, is checked inside."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.live.chaos.stage import LIFETIME, Stage


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
