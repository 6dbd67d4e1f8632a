"""Faults of the API itself: it is stopped or killed, and started again at a bad moment."""

from __future__ import annotations

import signal

from tests.live.chaos.stage import Stage


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
