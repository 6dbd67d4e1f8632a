"""Files of tenants, and the registry that they are applied to."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli

HOST = "https://id.example/realms"


def tenant(slug: str, **changes: Any) -> dict[str, Any]:
    """A tenant as a file has it, with one realm that nobody serves."""
    return {"slug": slug, "name": slug.title(), "realms": [realm(slug)], **changes}


def realm(name: str, **changes: Any) -> dict[str, Any]:
    return {"issuer": f"{HOST}/{name}", "client_id": "tenants-api", **changes}


def ndjson(*tenants: Any) -> str:
    return "".join(f"{json.dumps(one)}\n" for one in tenants)


def lines(text: str) -> list[dict[str, Any]]:
    """What a command printed with --json."""
    return [json.loads(line) for line in text.splitlines()]


def summary(text: str) -> dict[str, int]:
    found: dict[str, int] = lines(text)[-1]["summary"]
    return found


@pytest.fixture
def cli(unmigrated: Cli, migrated_file: Path, tmp_path: Path) -> Cli:
    """On a migrated file, with realms on the usual port beside the development realms."""
    shutil.copy(migrated_file, tmp_path / "cli.db")
    ports = unmigrated.environment["TENANTS_ALLOWED_REALM_PORTS"]
    return Cli(unmigrated.environment | {"TENANTS_ALLOWED_REALM_PORTS": f"443,{ports}"})


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes a file, gives its path."""

    def write_file(content: str | bytes, name: str = "tenants.ndjson") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write_file


def slugs(cli: Cli, *words: str) -> set[str]:
    """Who is in the registry."""
    return {one["slug"] for one in cli.json("tenants", "list", "--limit", "100", *words)["data"]}
