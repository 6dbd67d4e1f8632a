"""Virtual environments of the peers: one for each lock, outside the checkout, cached."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

CACHE = Path.home() / ".cache" / "tenants-api"


def python_of(lock: Path) -> str:
    """The interpreter with the packages of the lock, which are installed, by hash, if necessary."""
    folder = CACHE / f"peers-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*install, "-r", str(lock)], check=True)
        (folder / "complete").touch()
    return str(python)
