"""The faults, by name. Each is over when its function returns; what it must end, is checked inside."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass

from tests.live.chaos import api_faults, database_faults, keycloak_faults
from tests.live.chaos.stage import Stage


@dataclass(frozen=True)
class Fault:
    """`ends_api`: the API itself is ended, so calls may stay without an answer; none may be answered wrongly."""

    name: str
    happen: Callable[[Stage], None]
    ends_api: bool = False
    database: str = "sqlite"

    def __str__(self) -> str:
        return self.name


FAULTS = (
    Fault("rotate by priority", keycloak_faults.rotate),
    Fault("five rotations in a row", keycloak_faults.rotate_five_times),
    Fault("rotate and delete the old key", keycloak_faults.withdraw_key),
    Fault("disable and enable the realm", keycloak_faults.disable_realm),
    Fault("push not-before", keycloak_faults.push_not_before),
    Fault("log out all sessions", keycloak_faults.logout_all),
    Fault("kill -9 Keycloak", keycloak_faults.kill_keycloak),
    Fault("stop Keycloak beyond the lifetime", keycloak_faults.stop_keycloak_beyond_the_lifetime),
    Fault("suspend Keycloak for 20 s", keycloak_faults.suspend_keycloak(20)),
    *(
        Fault(f"network: {mode}", keycloak_faults.bad_network(mode))
        for mode in ("latency", "drop", "truncate", "500", "garbage")
    ),
    Fault("rotate behind a broken network", keycloak_faults.rotate_behind_a_broken_network),
    Fault("restart the API", api_faults.restart_api, ends_api=True),
    Fault("kill -9 the API", api_faults.kill_api, ends_api=True),
    Fault("restart the API while Keycloak hangs", api_faults.restart_api_without_keycloak, ends_api=True),
    Fault("restart the API during a rotation", api_faults.restart_api_during_a_rotation, ends_api=True),
    Fault("kill -9 the API on a bad network", api_faults.restart_api_on_a_bad_network, ends_api=True),
    Fault("disk full", database_faults.disk_full),
    Fault("SQLite locked by another process", database_faults.database_locked),
    Fault("SQLite file read-only", database_faults.read_only_file, ends_api=True),
    Fault("PostgreSQL restarted", database_faults.restart_postgres(signal.SIGINT), database="postgres"),
    Fault("kill -9 PostgreSQL", database_faults.restart_postgres(signal.SIGKILL), database="postgres"),
)
