"""The files of a real Keycloak: fetched once with Maven, built once, and copied for each run. Starts nothing."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenants_api.cli.exits import Stopped
from tenants_api.cli.output import say

BUILD_OPTIONS = ("--db=dev-file", "--health-enabled=true")


def installed(version: str) -> Path:
    """The unpacked and built server; its folder appears only when it is whole.

    Raises:
        Stopped: Maven or the build failed.
    """
    cache = Path.home() / ".cache" / "tenants-api"
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / f"keycloak-{version}"
    with _locked(cache / f"keycloak-{version}.lock"):
        if not home.is_dir():
            _install(version, home=home, unfinished=cache / f"keycloak-{version}.unfinished")
    return home


def own_copy(home: Path, *, target: Path) -> Path:
    """A copy by hard links: Keycloak writes below data/ only, which the kept server does not have."""
    shutil.copytree(home, target, copy_function=_link_or_copy)
    return target


def _install(version: str, *, home: Path, unfinished: Path) -> None:
    say(f"fetching Keycloak {version} with Maven, once (about 170 MB)")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    artifact = f"org.keycloak:keycloak-quarkus-dist:{version}:zip"
    _run(["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={unfinished}"])
    archive = unfinished / f"keycloak-quarkus-dist-{version}.zip"
    with zipfile.ZipFile(archive) as content:
        content.extractall(unfinished)
    built = unfinished / f"keycloak-{version}"
    # kc.sh is given to bash by name: zipfile does not keep the executable bit.
    _run(["bash", str(built / "bin" / "kc.sh"), "build", *BUILD_OPTIONS])
    shutil.rmtree(built / "data", ignore_errors=True)
    built.rename(home)
    shutil.rmtree(unfinished)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        raise Stopped(f"{command[0]} exited with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time: two demos share the cache."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)
