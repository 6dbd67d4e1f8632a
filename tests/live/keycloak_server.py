"""A real Keycloak for the tests: fetched once with Maven, built once per version, started with data of its own.

The unpacked and built server lies in a cache (`~/.cache/tenants-api`, or TENANTS_TEST_CACHE) that is only ever read
afterwards: each run hard-links it into its own folder, so that data, ports and realms of two runs never meet.
Knows the command lines of Keycloak 24 to 26; knows nothing of tenants.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.live.keycloak_admin import KeycloakAdmin
from tests.live.keycloak_login import RealmLogin
from tests.support.ports import free_port
from tests.support.processes import answers, stop_group

DEFAULT_VERSION = "26.7.3"
ADMIN_NAME, ADMIN_PASSWORD = "root", "root-pw"
READY_DEADLINE = 180.0
MEMORY = {"JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m"}


class KeycloakFailed(Exception):
    """Keycloak could not be fetched, built or started; the message ends with what it printed last."""


@dataclass(frozen=True, slots=True)
class KeycloakServer:
    """A running Keycloak: `base_url` without a trailing slash, its version, and its admin."""

    base_url: str
    version: str
    admin: KeycloakAdmin
    process: KeycloakProcess

    @property
    def host(self) -> str:
        """`localhost:PORT`, as TENANTS_INSECURE_HTTP_HOSTS wants it."""
        return self.base_url.removeprefix("http://")

    @property
    def port(self) -> int:
        return int(self.base_url.rpartition(":")[2])

    def issuer(self, realm: str) -> str:
        """The `iss` of that realm's tokens."""
        return f"{self.base_url}/realms/{realm}"

    def login(self, realm: str) -> RealmLogin:
        """The ways to get tokens of that realm."""
        return RealmLogin(issuer=self.issuer(realm))


def missing_tools(version: str) -> tuple[str, ...]:
    """The programs that this machine lacks; Maven is needed only until that version is in the cache."""
    needed = ("java",) if _home(version).is_dir() else ("java", "mvn")
    return tuple(name for name in needed if shutil.which(name) is None)


def cache_folder() -> Path:
    named = os.environ.get("TENANTS_TEST_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "tenants-api"


def installed(version: str) -> Path:
    """The unpacked and built server of that version; the folder appears only when it is whole.

    Raises:
        KeycloakFailed: Maven or the build failed.
    """
    cache, home = cache_folder(), _home(version)
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"keycloak-{version}.lock"):
        if not home.is_dir():
            unfinished = cache / f"keycloak-{version}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            _unpack(_fetch(version, unfinished), unfinished)
            _build(unfinished / f"keycloak-{version}", version)
            (unfinished / f"keycloak-{version}").rename(home)
            shutil.rmtree(unfinished)
    return home


@contextmanager
def running_keycloak(version: str, *, folder: Path, realms: Sequence[dict[str, Any]]) -> Iterator[KeycloakServer]:
    """Start that version in `folder` with the realms imported; it is ready inside the block and gone after it.

    Raises:
        KeycloakFailed: it did not become ready.
    """
    home = _own_copy(installed(version), folder / "keycloak")
    imports = home / "data" / "import"
    imports.mkdir(parents=True)
    for realm in realms:
        (imports / f"{realm['realm']}-realm.json").write_text(json.dumps(realm), encoding="utf-8")
    process = KeycloakProcess(home, version=version, log=folder / "keycloak.log")
    try:
        process.start()
        with KeycloakAdmin(base_url=process.base_url, username=ADMIN_NAME, password=ADMIN_PASSWORD) as admin:
            yield KeycloakServer(base_url=process.base_url, version=version, admin=admin, process=process)
    finally:
        process.stop()


class KeycloakProcess:
    """One server on two ports that stay its own, to be stopped, killed, suspended and started again."""

    def __init__(self, home: Path, *, version: str, log: Path) -> None:
        self.home, self._version, self._log = home, version, log
        self._port, self._management_port = free_port(), free_port()
        self.base_url = f"http://localhost:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            KeycloakFailed: it did not become ready.
        """
        options = _start_options(self._version, port=self._port, management_port=self._management_port)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                ["bash", str(self.home / "bin" / "kc.sh"), *options],
                env=_environment(self._version),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        port = self._port if _major(self._version) < 25 else self._management_port
        _wait_until_ready(self._process, health=f"http://localhost:{port}/health/ready", log=self._log)

    def signal(self, number: signal.Signals) -> None:
        """To the whole group: kc.sh and the Java that it became."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)
            if number == signal.SIGKILL:
                self._process.wait()

    def stop(self) -> None:
        """End it in order, also when it is suspended."""
        if self._process is not None:
            self.signal(signal.SIGCONT)
            stop_group(self._process)


def _home(version: str) -> Path:
    return cache_folder() / f"keycloak-{version}"


def _major(version: str) -> int:
    return int(version.partition(".")[0])


def _build_options(version: str) -> list[str]:
    options = ["build", "--db=dev-file", "--health-enabled=true"]
    return [*options, "--cache=local"] if _major(version) < 25 else options


def _start_options(version: str, *, port: int, management_port: int) -> list[str]:
    # Loopback only: the admin's password is in this file.
    options = ["start", "--optimized", "--import-realm", "--http-enabled=true", "--http-host=127.0.0.1"]
    # A line for every look at the health page would push the reason of a failed start out of sight.
    options += [f"--http-port={port}", "--log-level=info,io.smallrye.health:warn"]
    if _major(version) < 25:
        return [*options, f"--hostname-url=http://localhost:{port}"]
    own = [f"--hostname=http://localhost:{port}", f"--http-management-port={management_port}", "--cache=local"]
    return [*options, *own]


def _environment(version: str) -> dict[str, str]:
    # Nothing of the caller's KC_* may change what is tested.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KC_", "KEYCLOAK_"))}
    if _major(version) < 26:
        return {**inherited, **MEMORY, "KEYCLOAK_ADMIN": ADMIN_NAME, "KEYCLOAK_ADMIN_PASSWORD": ADMIN_PASSWORD}
    admin = {"KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN_NAME, "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN_PASSWORD}
    return {**inherited, **MEMORY, **admin}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time: the workers of one test run, and two runs, share the cache."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(version: str, folder: Path) -> Path:
    folder.mkdir(parents=True)
    artifact = f"org.keycloak:keycloak-quarkus-dist:{version}:zip"
    _run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={folder}"])
    return folder / f"keycloak-quarkus-dist-{version}.zip"


def _unpack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
    archive.unlink()


def _build(home: Path, version: str) -> None:
    # kc.sh is given to bash by name: zipfile does not keep the executable bit.
    _run(["bash", str(home / "bin" / "kc.sh"), *_build_options(version)], env=_environment(version))
    shutil.rmtree(home / "data", ignore_errors=True)


def _run(command: list[str], *, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise KeycloakFailed(
            f"{' '.join(command)} exited with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}"
        )


def _own_copy(home: Path, target: Path) -> Path:
    # `start --optimized` writes below data/ only, so the files may be shared.
    shutil.copytree(home, target, copy_function=_link_or_copy)
    return target


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _wait_until_ready(process: subprocess.Popen[bytes], *, health: str, log: Path) -> None:
    deadline = time.monotonic() + READY_DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        if answers(health):
            return
        time.sleep(0.2)
    ending = f"exited with {process.returncode}" if process.poll() is not None else "was not ready in time"
    raise KeycloakFailed(f"Keycloak {ending}:\n{log.read_text(encoding='utf-8', errors='replace')[-4000:]}")
