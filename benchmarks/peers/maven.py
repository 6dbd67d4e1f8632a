"""The Java servers, built with Maven outside the checkout, once for each state of their source."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "tenants-api"
HOW = "on Debian or Ubuntu: apt-get install openjdk-17-jdk-headless maven"


class Missing(Exception):
    """A required program is not installed; the message says which one, and how to install it."""


def java() -> str:
    """The path of java, from JAVA_HOME if that is set, as in Maven. Raises Missing."""
    home = os.environ.get("JAVA_HOME")
    return _program("java", path=f"{home}/bin" if home else None)


def java_version() -> int:
    """The major version, such as 17."""
    output = subprocess.run([java(), "-version"], capture_output=True, text=True, check=True).stderr
    found = re.search(r'version "(\d+)', output)
    if found is None:
        raise RuntimeError(f"java -version printed no version: {output}")
    return int(found[1])


def built(name: str, *, made: str) -> Path:
    """The file `made` of the server `benchmarks/peers/{name}`.

    Raises:
        Missing: Java is not installed, or Maven for a build.
        RuntimeError: the build failed.
    """
    java()
    home = CACHE / f"jvm-{name}-{_checksum(HERE / name)}"
    if not (home / made).exists():
        _build(HERE / name, home=home, made=made)
    return home / made


def _build(source: Path, *, home: Path, made: str) -> None:
    """Build in a temporary folder, which is renamed when the build is complete."""
    command = [_program("mvn"), "-q", "-B", "-DskipTests", "package"]
    print(f"building {source.name}; the first build takes some minutes", file=sys.stderr)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="jvm-") as folder:
        copy = Path(folder) / source.name
        shutil.copytree(source, copy)
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
        if done.returncode or not (copy / made).exists():
            raise RuntimeError(f"Maven could not build {source.name}:\n{(done.stdout + done.stderr)[-3000:]}")
        shutil.rmtree(home, ignore_errors=True)
        copy.rename(home)


def _program(name: str, *, path: str | None = None) -> str:
    found = shutil.which(name, path=path)
    if found is None:
        raise Missing(f"{name} is missing; {HOW}")
    return found


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
