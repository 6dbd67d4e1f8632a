"""The scene of all faults: a Keycloak, this API with two workers, a bad network before one realm, and steady load.

Tenant `shaken` is reached through the proxy and is what faults happen to; tenant `calm` must never notice. A third
caller sends forged tokens all the time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jwt

from tests.live.api_server import COMMAND, WORKERS, ApiServer, Tenant, api_environment
from tests.live.chaos.load import Caller
from tests.live.chaos.proxy import Proxy, running_proxy
from tests.live.keycloak_server import KeycloakServer
from tests.live.realms import tenant_realm
from tests.support.ports import free_port
from tests.support.processes import answers, stop_group, wait_for
from tests.support.restartable_postgres import PostgresProcess
from tests.support.tokens import Key
from tests.support.waiting import DEADLINE

LIFETIME = 3.0  # seconds of a key set here; 300 in production
TOKEN_LIFETIME = 7200
CACHED = 20_000  # verified tokens that are remembered, as in production
# Root without this capability is bound by a file's mode as any other user is.
BOUND_BY_MODES = ["setpriv", "--bounding-set", "-dac_override"] if os.geteuid() == 0 else []
NOTICED = LIFETIME + 3.0  # a change at the realm is law after a lifetime, a fetch and a turn of the test
MISTAKES = (b"unhandled_error", b"Traceback (most recent call last)", b"key fetch broke")


def chaos_realms() -> list[dict[str, object]]:
    """The two realms; their tokens outlast the whole run."""
    return [_chaos_realm(name) for name in ("shaken", "calm")]


def _chaos_realm(name: str) -> dict[str, object]:
    return tenant_realm(name) | {"accessTokenLifespan": TOKEN_LIFETIME, "ssoSessionMaxLifespan": 10 * TOKEN_LIFETIME}


class ApiProcess:
    """`tenants-api serve` on one port, to be ended and started again. Its log is a pipe, for its disk may be full."""

    def __init__(self, environment: dict[str, str], *, folder: Path) -> None:
        self._environment, self._folder, self.port = environment, folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.log: list[bytes] = []

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start, and wait until it is ready."""
        options = ["serve", "--host", "127.0.0.1", "--port", str(self.port), "--workers", str(WORKERS)]
        self._process = subprocess.Popen(
            [*BOUND_BY_MODES, *COMMAND, *options], cwd=self._folder, env=self._environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        wait_for(lambda: answers(f"{self.base_url}/readyz"), what="the API is ready")

    def stop(self) -> None:
        """SIGTERM, and wait for the end."""
        if self._process is not None:
            stop_group(self._process)
            self._reader.join(10)

    def kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(10)

    def processes(self) -> list[int]:
        """The leader and its workers."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return [self._process.pid, *map(int, children)]

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            self.log.extend(process.stdout)


@dataclass
class Counts:
    """What one fault did. Only `answered` may be anything but zero, and `lost` where the API itself was ended."""

    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    calm_refused: Counter[str] = field(default_factory=Counter)
    forged_accepted: int = 0
    mistakes: int = 0
    lost: int = 0

    def broken(self, *, ends_api: bool) -> str | None:
        """The first promise that was not kept."""
        if self.answered <= 20:
            return f"only {self.answered} calls were answered"
        if self.refused or self.calm_refused:
            return f"good tokens refused: {dict(self.refused)}, of the other tenant {dict(self.calm_refused)}"
        if self.forged_accepted or self.mistakes:
            return f"{self.forged_accepted} forged tokens accepted, {self.mistakes} mistakes logged"
        return f"{self.lost} calls without an answer" if self.lost and not ends_api else None


@dataclass
class Stage:
    """Everything that a fault may touch."""

    keycloak: KeycloakServer
    proxy: Proxy
    process: ApiProcess
    api: ApiServer
    folder: Path
    tenants: dict[str, Tenant]
    shaken: Caller
    calm: Caller
    forger: Caller
    postgres: PostgresProcess | None = None
    noticed: float = DEADLINE  # seconds until a change at the realm must be law

    def token(self, realm: str = "shaken") -> str:
        """A new token; Keycloak must be up."""
        return self.keycloak.login(realm).password("alice").access

    def status(self, token: str) -> int:
        return self.api.me(token).status_code

    def is_refused(self, token: str) -> bool:
        """By every worker, as far as twelve new connections tell."""
        return {self.status(token) for _ in range(12)} == {401}

    def is_accepted(self, token: str) -> bool:
        return {self.status(token) for _ in range(12)} == {200}

    def recover(self) -> None:
        """The realm is reached again: without this, what failed before is tried again after up to 36 s."""
        assert self.api.refresh_keys(self.tenants["shaken"]).status_code == 200

    def tidy(self) -> None:
        """Delete retired keys, as a realm's admin should: the long run makes more than a key set may list."""
        self.shaken.pause()
        self.keycloak.admin.delete_retired_keys("shaken")
        self.recover()
        self.shaken.go_on(token=self.token())

    def refused_in_time(self, token: str) -> None:
        """A token that the event must end is refused within the keys' lifetime, and stays so."""
        wait_for(lambda: self.is_refused(token), within=self.noticed, what="the token is refused")

    def accepted_in_time(self, token: str) -> None:
        wait_for(lambda: self.is_accepted(token), within=self.noticed, what="the token is accepted")

    def judge(self, happen: Callable[[Stage], None], *, ends_api: bool) -> None:
        """Let it happen once, and hold the promises against what was counted."""
        with self.counting() as counts:
            happen(self)
        assert counts.broken(ends_api=ends_api) is None

    def _let_answer(self) -> None:
        """What the callers asked before this has been answered, and there is enough to count."""
        callers = [caller for caller in (self.shaken, self.calm, self.forger) if caller.calling]
        seen = [caller.answers().total() for caller in callers]
        wait_for(
            lambda: all(one.answers().total() > old + 20 for one, old in zip(callers, seen, strict=True)),
            what="the callers are answered",
        )

    @contextmanager
    def counting(self) -> Iterator[Counts]:
        """What happens inside the block, counted when it ends."""
        before = [caller.answers() for caller in (self.shaken, self.calm, self.forger)]
        logged, counts = len(self.process.log), Counts()
        yield counts
        self._let_answer()
        after = [caller.answers() for caller in (self.shaken, self.calm, self.forger)]
        shaken, calm, forged = (new - old for new, old in zip(after, before, strict=True))
        counts.answered = shaken["200"] + calm["200"]
        counts.refused = Counter({s: n for s, n in shaken.items() if s not in ("200", "no answer")})
        counts.calm_refused = Counter({s: n for s, n in calm.items() if s not in ("200", "no answer")})
        counts.forged_accepted = forged["200"]
        counts.lost = shaken["no answer"] + calm["no answer"]
        counts.mistakes = sum(any(sign in line for sign in MISTAKES) for line in self.process.log[logged:])


@contextmanager
def chaos_stage(
    keycloak: KeycloakServer,
    *,
    folder: Path,
    postgres: PostgresProcess | None = None,
    verified_tokens: int = CACHED,
    noticed: float = DEADLINE,
) -> Iterator[Stage]:
    """The realms of `chaos_realms` registered, their callers calling; on SQLite unless there is a PostgreSQL.

    `verified_tokens` is how many of them the API remembers; with 0 every call is verified in full. `noticed` is the
    seconds that a change at the realm may take: as promised on a machine of its own, without meaning on a busy one.
    """
    with running_proxy(keycloak.port) as proxy:
        environment = api_environment(keycloak, folder=folder) | {
            "TENANTS_KEY_LIFETIME": str(LIFETIME),
            "TENANTS_REALM_TIMEOUT": "5",
            "TENANTS_VERIFIED_TOKENS": str(verified_tokens),
            "TENANTS_INSECURE_HTTP_HOSTS": f"{keycloak.host},127.0.0.1:{proxy.port}",
            "TENANTS_ALLOWED_REALM_PORTS": f"443,{keycloak.port},{proxy.port}",
        }
        owner = postgres.server.create_database() if postgres is not None else environment["TENANTS_DATABASE_URL"]
        migration = environment | {"TENANTS_DATABASE_URL": owner}
        subprocess.run([*COMMAND, "db", "upgrade"], cwd=folder, env=migration, check=True, capture_output=True)
        if postgres is not None:
            environment["TENANTS_DATABASE_URL"] = postgres.server.app_url(owner)
        process = ApiProcess(environment, folder=folder)
        callers: list[Caller] = []
        try:
            process.start()
            api = ApiServer(process.base_url)
            tenants = {
                "shaken": api.register(
                    "shaken", issuer=keycloak.issuer("shaken"), realm_url=f"http://127.0.0.1:{proxy.port}/realms/shaken"
                ),
                "calm": api.register("calm", issuer=keycloak.issuer("calm")),
            }
            tokens = {name: keycloak.login(name).password("alice").access for name in tenants}
            forged = Key("forger", kid=jwt.get_unverified_header(tokens["shaken"])["kid"]).token(
                jwt.decode(tokens["shaken"], options={"verify_signature": False})
            )
            callers = [Caller(process.base_url, token=raw) for raw in (tokens["shaken"], tokens["calm"], forged)]
            yield Stage(keycloak, proxy, process, api, folder, tenants, *callers, postgres=postgres, noticed=noticed)
        finally:
            for caller in callers:
                caller.end()
            process.stop()
