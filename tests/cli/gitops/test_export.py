"""`tenants export`: what it writes can be applied anywhere, and comes out again to the byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenants_api.cli.gitops.transfer import Format, exported
from tenants_api.database.engine import Database
from tenants_api.registry.repository import TENANTS_PER_QUERY
from tests.cli.conftest import Cli
from tests.cli.gitops.conftest import lines, ndjson, realm, summary, tenant

Write = Callable[..., str]

EVERYTHING = [
    tenant("zeta", state="suspended", external_id="crm-1", name="Zürich & Söhne: “№ 1”"),
    tenant("acme", realms=[
        realm("b", organization="red", realm_url="https://inside.example/realms/b", audiences=["x", "tenants-api"]),
        realm("b", organization="blue", enabled=False, algorithms=["ES256", "RS256"], authorized_parties=["web"]),
        realm("a", login_client_id="login", docs_client_id="docs"),
        realm("Capital", issuer="https://ID.example/realms/Capital"),
        realm("c", issuer_check="sample"),
    ]),
    tenant("a-draft", state="draft", realms=[], metadata={"n": [1, 1.0, True, None, "1e3"], "a": {"z": 1, "b": {}}}),
    tenant("shown", resource_metadata=True),
    tenant("ab", role_mapping=[
        {"from": "realm", "value": "tenant-admin", "role": "admin"},
        {"from": "client:web", "value": "yes", "role": "editor"},
        {"from": "group", "value": "/staff", "role": "viewer"},
    ]),
]  # fmt: skip


@pytest.mark.parametrize("of", list(Format))
def test_export_applied_to_an_empty_database_exports_the_same_bytes(
    cli: Cli, write: Write, database_url: str, of: Format
) -> None:
    """The second database is once of the same kind, once PostgreSQL, with its own order of texts."""
    assert cli("tenants", "apply", "-f", write(ndjson(*EVERYTHING)), "--activate", "unchecked").code == 0
    first = cli("tenants", "export", "--format", of.value).out

    other = Cli(cli.environment | {"TENANTS_DATABASE_URL": database_url})
    applied = other("tenants", "apply", "-f", write(first, name="export"), "--activate", "unchecked", "--json")
    assert applied.code == 0, applied.talk
    assert summary(applied.out)["create"] == len(EVERYTHING)

    assert other("tenants", "export", "--format", of.value).out == first
    again = other("tenants", "apply", "-f", write(first, name="export"), "--activate", "unchecked", "--json")
    assert summary(again.out)["unchanged"] == len(EVERYTHING)


def test_both_formats_say_the_same(cli: Cli, write: Write) -> None:
    cli("tenants", "apply", "-f", write(ndjson(*EVERYTHING)), "--activate", "unchecked")
    for of in Format:
        path = write(cli("tenants", "export", "--format", of.value).out, name=f"export.{of.value}")
        said = cli("tenants", "apply", "-f", path, "--dry-run", "--prune", "--json")
        assert summary(said.out) == {"create": 0, "update": 0, "unchanged": len(EVERYTHING), "delete": 0, "failed": 0}


def test_export_is_ordered_and_leaves_out_what_is_this_databases_own(cli: Cli, write: Write) -> None:
    cli("tenants", "apply", "-f", write(ndjson(*EVERYTHING)), "--activate", "unchecked")
    found = lines(cli("tenants", "export", "--json").out)
    assert [one["slug"] for one in found] == ["a-draft", "ab", "acme", "shown", "zeta"]
    assert found[1] == {
        "slug": "ab",
        "name": "Ab",
        "state": "active",
        "realms": [{"issuer": "https://id.example/realms/ab", "client_id": "tenants-api"}],
        "role_mapping": EVERYTHING[4]["role_mapping"],
    }


def test_deleted_tenants_are_not_exported(cli: Cli, write: Write) -> None:
    cli("tenants", "apply", "-f", write(ndjson(tenant("acme"), tenant("globex"))), "--activate", "unchecked")
    cli("tenants", "delete", "acme", "--yes")
    assert [one["slug"] for one in lines(cli("tenants", "export", "--json").out)] == ["globex"]


def test_exported_file_is_there_whole_or_not_at_all(cli: Cli, write: Write, tmp_path: Path) -> None:
    cli("tenants", "apply", "-f", write(ndjson(tenant("acme"))), "--activate", "unchecked")
    path = tmp_path / "out.yaml"
    assert cli("tenants", "export", "-o", str(path)).code == 0
    assert path.read_text() == cli("tenants", "export").out
    assert [one.name for one in tmp_path.glob("*.part")] == []


def test_export_is_one_snapshot_whatever_is_changed_meanwhile(cli: Cli, write: Write, database_url: str) -> None:
    here = Cli(cli.environment | {"TENANTS_DATABASE_URL": database_url})
    many = [tenant(f"t{n:04}") for n in range(TENANTS_PER_QUERY + 1)]  # more than one batch of the export
    last = f"t{TENANTS_PER_QUERY:04}"
    assert here("tenants", "apply", "-f", write(ndjson(*many)), "--activate", "never").code == 0

    async def interrupted() -> list[Any]:
        database = Database(database_url)
        found = []
        async for text in exported(database, of=Format.NDJSON):
            if not found:
                await asyncio.to_thread(rename_last)
            found.append(json.loads(text))
        await database.aclose()
        return found

    def rename_last() -> None:
        assert here("tenants", "update", last, "--name", "Changed").code == 0

    found = asyncio.run(interrupted())
    assert (len(found), found[-1]["name"]) == (len(many), last.title())
    assert here.json("tenants", "show", last)["name"] == "Changed"
