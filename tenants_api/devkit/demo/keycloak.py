"""Keycloak for `demo --keycloak`: in a container if an engine runs, else by Java from a Maven artifact.

The built server is cached in ~/.cache/tenants-api; each demo runs a hard-linked copy with its own data. It listens on
the loopback interface only, because its admin password is public.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import subprocess
import time
import zipfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import httpx

from tenants_api.cli.exits import CliError
from tenants_api.cli.output import say
from tenants_api.devkit.demo.stage import TOKEN_PATH, TokenRealms, end_of, end_process, free_port

BUILD_OPTIONS = ("--db=dev-file", "--health-enabled=true")


def installed(version: str) -> Path:
    """The folder of the built server, which exists only if the build is complete.

    Raises:
        CliError: Maven or the build failed.
    """
    cache = Path.home() / ".cache" / "tenants-api"
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / f"keycloak-{version}"
    with _locked(cache / f"keycloak-{version}.lock"):
        if not home.is_dir():
            _install(version, home=home, unfinished=cache / f"keycloak-{version}.unfinished")
    return home


def own_copy(home: Path, *, target: Path) -> Path:
    """A copy by hard links: Keycloak writes only below data/, which the cached server does not have."""
    if (target / "bin" / "kc.sh").is_file():  # of an earlier demo
        shutil.rmtree(target)
    shutil.copytree(home, target, copy_function=_link_or_copy)
    return target


def _install(version: str, *, home: Path, unfinished: Path) -> None:
    say(f"fetching Keycloak {version} with Maven (about 170 MB, cached)")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    artifact = f"org.keycloak:keycloak-quarkus-dist:{version}:zip"
    _run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={unfinished}"])
    archive = unfinished / f"keycloak-quarkus-dist-{version}.zip"
    with zipfile.ZipFile(archive) as content:
        content.extractall(unfinished)
    built = unfinished / f"keycloak-{version}"
    # By bash, because zipfile does not restore the executable bit.
    _run(["bash", str(built / "bin" / "kc.sh"), "build", *BUILD_OPTIONS])
    shutil.rmtree(built / "data", ignore_errors=True)
    built.rename(home)
    shutil.rmtree(unfinished)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    if done.returncode:
        raise CliError(f"{command[0]} exited with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """An exclusive lock: demos share the cache."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


VERSION = "26.7.3"
# With its registry: podman looks a short name up in no registry by default.
IMAGE = f"quay.io/keycloak/keycloak:{VERSION}"
By = Literal["auto", "container", "java"]
ADMIN = {"KC_BOOTSTRAP_ADMIN_USERNAME": "root", "KC_BOOTSTRAP_ADMIN_PASSWORD": "root-pw"}
START_TIMEOUT_SECONDS = 240.0  # a container engine may have to pull the image
ENGINE_TIMEOUT_SECONDS = 10.0  # for `info` of a container engine


@asynccontextmanager
async def local_keycloak(names: Sequence[str], *, folder: Path, by: By = "auto") -> AsyncIterator[TokenRealms]:
    """A Keycloak with these realms while the block runs.

    Raises:
        CliError: what `by` names is not installed (for `auto` neither of both), or Keycloak did not start.
    """
    port = free_port()
    base_url = f"http://127.0.0.1:{port}"
    imports = _write_realms(names, folder=folder / "import")
    process = await _start(by, folder=folder, port=port, imports=imports, url=f"{base_url}/realms/{names[0]}")

    async def rotate(realm: str) -> None:
        await _rotate(base_url, realm=realm)

    try:
        yield TokenRealms(f"Keycloak {VERSION}", base_url, rotate, admin=f"{base_url}/admin (root, root-pw)")
    finally:
        await end_process(process)


async def _start(by: By, *, folder: Path, port: int, imports: Path, url: str) -> asyncio.subprocess.Process:
    engine = await _container_engine() if by != "java" else None
    if engine is not None:
        try:
            return await _run_until_ready(
                _container(engine, port=port, imports=imports), engine, folder=folder, url=url
            )
        except CliError as error:
            if by == "container" or _missing_for_java():
                raise
            say(f"{error}\n{engine} started no Keycloak; trying Java")
    elif by == "container":
        raise CliError("no container engine runs", hint="start docker or podman, or use --keycloak=java")
    command = await asyncio.to_thread(_java, folder, port=port, imports=imports)
    return await _run_until_ready(command, "Java", folder=folder, url=url)


async def _run_until_ready(command: list[str], by: str, *, folder: Path, url: str) -> asyncio.subprocess.Process:
    say(f"starting Keycloak {VERSION} with {by}; this takes 15 to 60 seconds")
    log = folder / "keycloak.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, env={**_clean_environment(), **ADMIN}, stdout=output, stderr=output, start_new_session=True
        )
    try:
        await _wait_until_ready(process, url=url, log=log)
    except BaseException:
        await end_process(process)
        raise
    return process


def _write_realms(names: Sequence[str], *, folder: Path) -> Path:
    template = json.loads((files("tenants_api.devkit.demo") / "realm.json").read_text("utf-8"))
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}-realm.json").write_text(json.dumps({**template, "realm": name}), encoding="utf-8")
    folder.chmod(0o755)  # readable for the container's user
    return folder


async def _container_engine() -> str | None:
    for engine in ("docker", "podman"):
        if shutil.which(engine) is None:
            continue
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(engine, "info", stdout=quiet, stderr=quiet)
        with suppress(TimeoutError):
            if await asyncio.wait_for(process.wait(), ENGINE_TIMEOUT_SECONDS) == 0:
                return engine
    return None


def _container(engine: str, *, port: int, imports: Path) -> list[str]:
    variables = [part for name in ADMIN for part in ("-e", name)]
    mount = f"{imports}:/opt/keycloak/data/import:ro"
    options = ["start-dev", "--import-realm", f"--hostname=http://127.0.0.1:{port}"]
    return [engine, "run", "--rm", "-p", f"127.0.0.1:{port}:8080", "-v", mount, *variables, IMAGE, *options]


def _missing_for_java() -> list[str]:
    return [name for name in ("java", "mvn") if shutil.which(name) is None]


def _java(folder: Path, *, port: int, imports: Path) -> list[str]:
    if missing := _missing_for_java():
        hint = "install docker or podman, or Java 17+ and Maven"
        raise CliError(f"no Keycloak in a container, and {' and '.join(missing)} is missing", hint=hint)
    home = own_copy(installed(VERSION), target=folder / "keycloak")
    shutil.copytree(imports, home / "data" / "import")
    return [
        "bash", str(home / "bin" / "kc.sh"), "start", "--optimized", "--import-realm", "--cache=local",
        "--http-enabled=true", "--http-host=127.0.0.1", f"--http-port={port}",
        f"--http-management-port={free_port()}", f"--hostname=http://127.0.0.1:{port}",
    ]  # fmt: skip


def _clean_environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KC_", "KEYCLOAK_"))}
    return {"JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m", **inherited}


async def _wait_until_ready(process: asyncio.subprocess.Process, *, url: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        while time.monotonic() < deadline and process.returncode is None:
            if await _is_ready(client, url):
                return
            await asyncio.sleep(0.2)
    raise CliError(f"Keycloak did not start:\n{end_of(log)}")


async def _is_ready(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False


async def _rotate(base_url: str, *, realm: str) -> None:
    """Add an RSA key of higher priority by the admin API; the old key stays in the set."""
    async with httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=10) as client:
        form = {"grant_type": "password", "client_id": "admin-cli", "username": "root", "password": "root-pw"}
        token = _json(await client.post("/realms/master" + TOKEN_PATH, data=form))["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        parent = _json(await client.get(f"/admin/realms/{realm}", headers=headers))["id"]
        response = await client.post(f"/admin/realms/{realm}/components", headers=headers, json=_key_provider(parent))
        response.raise_for_status()


def _key_provider(parent: str) -> dict[str, Any]:
    config = {"priority": "200", "enabled": "true", "active": "true", "algorithm": "RS256", "keySize": "2048"}
    return {
        "name": "demo rotation",
        "providerId": "rsa-generated",
        "providerType": "org.keycloak.keys.KeyProvider",
        "parentId": parent,
        "config": {name: [value] for name, value in config.items()},
    }


def _json(response: httpx.Response) -> dict[str, Any]:
    response.raise_for_status()
    body: dict[str, Any] = response.json()
    return body
