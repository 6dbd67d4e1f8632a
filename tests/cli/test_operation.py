"""Database, doctor, admin keys, audit and the documents."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tenants_api.registry.values import SCOPES
from tests.cli.conftest import Cli

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_command_on_a_missing_database_names_the_cure_and_makes_no_file(unmigrated: Cli, tmp_path: Path) -> None:
    said = unmigrated("tenants", "list", "--json")

    assert said.code == 7
    assert said.out == ""
    assert "tenants-api db upgrade" in said.talk
    assert "Traceback" not in said.talk
    assert list(tmp_path.iterdir()) == []


def test_command_on_an_old_schema_names_the_cure(cli: Cli) -> None:
    cli("db", "downgrade", "base", "--yes")

    said = cli("tenants", "list")

    assert said.code == 7
    assert "tenants-api db upgrade" in said.talk


def test_db_check_tells_an_old_schema_from_a_new_one(cli: Cli) -> None:
    assert cli("db", "check").code == 0
    newest = cli.json("db", "history")["data"][-1]["revision"]
    assert cli.json("db", "current") == {"revision": newest, "head": newest}
    assert cli("db", "downgrade", "base", "--yes").code == 0
    assert cli("db", "check").code == 3
    assert cli("db", "upgrade").code == 0
    assert cli("db", "check").code == 0


def test_db_check_of_a_missing_file_makes_none(unmigrated: Cli, tmp_path: Path) -> None:
    assert unmigrated("db", "check").code == 7
    assert list(tmp_path.iterdir()) == []


def test_downgrade_asks_first(cli: Cli) -> None:
    assert cli("db", "downgrade", "base", stdin="n\n").code == 1
    assert cli("db", "check").code == 0


def test_unknown_revision_is_one_line(cli: Cli) -> None:
    said = cli("db", "upgrade", "--to", "nowhere")

    assert said.code == 1
    assert "nowhere" in said.talk
    assert "Traceback" not in said.talk


def test_wrong_setting_is_one_line_that_names_the_variable(cli: Cli) -> None:
    wrong = Cli({**cli.environment, "TENANTS_LEEWAY": "soon"})

    said = wrong("tenants", "list")

    assert said.code == 1
    assert "TENANTS_LEEWAY" in said.talk
    assert len(said.talk.strip().splitlines()) == 1


def test_doctor_passes_on_a_sound_installation(cli: Cli, acme: dict[str, Any]) -> None:
    findings = cli.json("doctor", "--realms")["data"]

    assert {finding["outcome"] for finding in findings} <= {"ok", "note"}
    assert "realm of acme" in {finding["check"] for finding in findings}


def test_doctor_finds_a_realm_that_does_not_answer(cli: Cli, acme: dict[str, Any], realms: DevRealmServer) -> None:
    realms.realm("acme").disable()
    try:
        said = cli("doctor", "--realms", "--json")
    finally:
        realms.realm("acme").enable()

    assert said.code == 3
    assert [finding["check"] for finding in said.data["data"] if finding["outcome"] == "failed"] == ["realm of acme"]


def test_doctor_on_a_missing_database_fails_with_the_cure(unmigrated: Cli) -> None:
    said = unmigrated("doctor", "--json")

    assert said.code == 3
    assert "tenants-api db upgrade" in said.out


def test_admin_key_is_shown_once_and_never_listed(cli: Cli) -> None:
    said = cli("admin-keys", "create", "--name", "ci", "--scopes", "tenants:read,audit:read")
    listed = cli("admin-keys", "list", "--json")

    assert said.out.startswith("tak_")
    assert len(said.out.splitlines()) == 1
    assert said.out.strip() not in listed.out
    assert set(listed.data["data"][0]["scopes"]) == {"tenants:read", "audit:read"}


def test_revoked_admin_key_says_when(cli: Cli) -> None:
    key = cli.json("admin-keys", "create", "--name", "ci")

    assert set(key["scopes"]) == set(SCOPES)
    assert cli("admin-keys", "revoke", key["key_id"]).code == 0
    assert cli.json("admin-keys", "list")["data"][0]["revoked_at"]
    assert cli("admin-keys", "revoke", "nothing").code == 4


def test_unknown_scope_is_a_usage_error(cli: Cli) -> None:
    assert cli("admin-keys", "create", "--name", "ci", "--scopes", "everything").code == 2


def test_audit_names_the_user_and_the_reason(cli: Cli, acme: dict[str, Any]) -> None:
    cli("tenants", "suspend", "acme", "--reason", "unpaid")

    newest = cli.json("audit", "tail", "-n", "1")["data"][0]

    assert newest["actor"]["type"] == "cli"
    assert newest["reason"] == "unpaid"
    assert newest["target"]["id"] == acme["id"]


def test_audit_export_is_one_document_on_each_line(cli: Cli, acme: dict[str, Any]) -> None:
    lines = cli("audit", "export").out.splitlines()

    assert len(lines) >= 2
    assert all(json.loads(line)["action"] for line in lines)


@pytest.mark.parametrize(("options", "path"), [((), "/v1/me"), (("--admin",), "/v1/tenants")])
def test_openapi_needs_no_database(unmigrated: Cli, options: tuple[str, ...], path: str) -> None:
    document = unmigrated.json("openapi", *options)

    assert any(known.endswith(path) for known in document["paths"])


def test_settings_page_is_what_the_code_says(cli: Cli) -> None:
    assert (DOCS / "settings.md").read_text("utf-8") == cli("settings").out


def test_several_workers_on_sqlite_are_refused_in_production(cli: Cli) -> None:
    said = cli("serve", "--workers", "2")

    assert said.code == 2
    assert "development" in said.talk


def test_serve_refuses_a_missing_database(unmigrated: Cli) -> None:
    said = unmigrated("serve")

    assert said.code == 7
    assert "tenants-api db upgrade" in said.talk


def test_unknown_option_is_a_usage_error(cli: Cli) -> None:
    assert cli("tenants", "list", "--everything").code == 2


def test_audit_shows_slugs_and_changes_since_a_time(cli: Cli, acme: dict[str, Any]) -> None:
    """E23"""
    cli("tenants", "update", "acme", "--name", "Acme Ltd")

    shown = Cli(cli.environment | {"COLUMNS": "80"})("audit", "tail", "--since", "1h", "-n", "1").out
    assert re.search(r"^tenant +acme$", shown, re.MULTILINE)
    assert 'name: "acme" → "Acme Ltd"' in shown
    for since in ("24h", "2020-01-01", "2020-01-01T00:00:00Z"):
        data = cli.json("audit", "tail", "--since", since)["data"]
        assert {event["tenant"] for event in data} == {"acme"}
    assert cli.json("audit", "tail", "--since", "2100-01-01")["data"] == []
    assert cli("audit", "export", "--since", "2100-01-01").out == ""
    assert cli("audit", "tail", "--since", "yesterday").code == 2
