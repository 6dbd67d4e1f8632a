"""Virtual environments of the peers: one for each lock, outside the checkout, made once."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

CACHE = Path.home() / ".cache" / "tenants-api"


def python_of(lock: Path) -> str:
    """The interpreter that has what the lock names; installs it, with hashes, when it is not there yet."""
    folder = CACHE / f"peers-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*install, "-r", str(lock)], check=True)
        (folder / "complete").touch()
    return str(python)
