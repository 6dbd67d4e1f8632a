"""Java servers to compare with: made with Maven, once for each state of their source, outside the checkout."""

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
    """A program that is needed is not on this machine; the message says which, and how to get it."""


def java() -> str:
    """The program: of JAVA_HOME where it is set, as Maven takes it too. Missing when there is none."""
    home = os.environ.get("JAVA_HOME")
    return _program("java", path=f"{home}/bin" if home else None)


def java_version() -> int:
    """17, for example."""
    said = subprocess.run([java(), "-version"], capture_output=True, text=True, check=True).stderr
    found = re.search(r'version "(\d+)', said)
    if found is None:
        raise RuntimeError(f"java -version printed no version: {said}")
    return int(found[1])


def built(name: str, *, made: str) -> Path:
    """The file `made` of the server `benchmarks/peers/{name}`.

    Raises:
        Missing: Java, or Maven where it is not built yet.
        RuntimeError: the build failed.
    """
    java()
    home = CACHE / f"jvm-{name}-{_checksum(HERE / name)}"
    if not (home / made).exists():
        _build(HERE / name, home=home, made=made)
    return home / made


def _build(source: Path, *, home: Path, made: str) -> None:
    """In a folder of its own that gets its name when all is there: what was interrupted is never taken for built."""
    command = [_program("mvn"), "-q", "-B", "-DskipTests", "package"]
    print(f"building {source.name}, which takes some minutes where Maven must fetch all of it", file=sys.stderr)
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
