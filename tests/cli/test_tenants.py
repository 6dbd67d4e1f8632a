"""The life of a tenant on the command line."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.cli.conftest import CLIENT_ID, Cli


def create(cli: Cli, slug: str, issuer: str, *more: str) -> Any:
    return cli("tenants", "create", slug, "--issuer", issuer, "--client-id", CLIENT_ID, *more)


def test_created_tenant_is_active_once_its_checks_pass(acme: dict[str, Any]) -> None:
    assert acme["state"] == "active"
    assert acme["health"] == "healthy"
    assert (
        acme["realms"][0]["conditions"][-1] | {"type": "Ready", "status": "True"} == acme["realms"][0]["conditions"][-1]
    )


def test_tenant_goes_through_every_state(cli: Cli, acme: dict[str, Any]) -> None:
    verbs = (("suspend", "suspended"), ("resume", "active"), ("delete", "deleted"), ("restore", "suspended"))
    for verb, state in verbs:
        consent = ("--yes",) if verb == "delete" else ()
        assert cli.json("tenants", verb, "acme", "--reason", "a test", *consent)["state"] == state
    assert cli("tenants", "delete", "acme", "--yes").code == 0
    assert cli("tenants", "purge", "acme", "--yes").code == 0
    assert cli("tenants", "show", "acme").code == 4


def test_purge_without_consent_erases_nothing(cli: Cli, acme: dict[str, Any]) -> None:
    cli("tenants", "delete", "acme", "--yes")

    assert cli("tenants", "purge", "acme", stdin="n\n").code == 1
    assert cli.json("tenants", "show", "acme")["state"] == "deleted"


def test_delete_asks(cli: Cli, acme: dict[str, Any]) -> None:
    """E19"""
    assert cli("tenants", "delete", "acme", stdin="n\n").code == 1
    assert cli.json("tenants", "show", "acme")["state"] == "active"
    assert cli("tenants", "delete", "acme", stdin="y\n").code == 0


def test_roles_are_set_and_listed(cli: Cli, acme: dict[str, Any]) -> None:
    """E19"""
    manager = {"from": "realm", "value": "manager", "role": "admin"}
    assert cli.json("roles", "set", "acme", "--rule", "realm,manager,admin") == {"data": [manager]}
    assert cli.json("roles", "list", "acme") == {"data": [manager]}
    assert cli("roles", "set", "acme").code == 2
    assert cli.json("roles", "set", "acme", "--rule", "") == {"data": []}


def test_role_preview_takes_a_token(cli: Cli, acme: dict[str, Any], realms: DevRealmServer, tmp_path: Path) -> None:
    """E24"""
    file = tmp_path / "token"
    file.write_text(realms.realm("acme").mint())
    assert cli.json("roles", "preview", "acme", "--token", str(file))["roles"] == ["editor"]
    assert cli.json("roles", "preview", "acme", "--token", "-", stdin=file.read_text())["roles"] == ["editor"]
    file.write_text("no token")
    assert cli("roles", "preview", "acme", "--token", str(file)).code == 2
    assert cli("roles", "preview", "acme", "--token", str(file), "--claims", str(file)).code == 2


def test_hint_names_a_command(cli: Cli, acme: dict[str, Any], realms: DevRealmServer) -> None:
    """E19"""
    for said in (
        cli("tenants", "show", "nobody"),
        cli("realms", "show", "acme", "7"),
        cli("realms", "add", "acme", "--issuer", realms.realm("acme").issuer, "--client-id", CLIENT_ID),
    ):
        assert "tenants-api " in said.talk
        assert "/admin/v1" not in said.talk


def test_transition_that_the_state_forbids_is_a_conflict(cli: Cli, acme: dict[str, Any]) -> None:
    said = cli("tenants", "resume", "acme", "--json")

    assert said.code == 5
    assert said.out == ""
    assert "invalid_state_transition" in said.talk


def test_unknown_tenant_is_not_found(cli: Cli) -> None:
    assert cli("tenants", "show", "nobody").code == 4


def test_taken_slug_is_a_conflict(cli: Cli, acme: dict[str, Any], realms: DevRealmServer) -> None:
    assert create(cli, "acme", realms.realm("globex").issuer).code == 5


def test_issuer_that_nobody_serves_leaves_a_draft_and_says_so(cli: Cli, realms: DevRealmServer) -> None:
    said = create(cli, "initech", realms.realm("acme").issuer.replace("acme", "initech"), "--json")

    assert said.code == 3
    assert said.data["state"] == "draft"
    assert "tenants activate initech" in said.talk


def test_activation_now_stores_nothing_when_a_check_fails(cli: Cli, realms: DevRealmServer) -> None:
    said = create(cli, "initech", realms.realm("acme").issuer.replace("acme", "initech"), "--activate", "now")

    assert said.code == 3
    assert "RealmReachable" in said.talk
    assert cli("tenants", "show", "initech").code == 4


def test_issuer_with_a_query_is_a_usage_error_that_names_the_field(cli: Cli) -> None:
    said = create(cli, "initech", "https://id.example.com/realms/a?b=c")

    assert said.code == 2
    assert "/issuer" in said.talk


def test_list_filters_by_state_and_pages(cli: Cli, acme: dict[str, Any], realms: DevRealmServer) -> None:
    create(cli, "globex", realms.realm("globex").issuer)
    cli("tenants", "suspend", "globex")

    assert [tenant["slug"] for tenant in cli.json("tenants", "list", "--state", "suspended")["data"]] == ["globex"]
    first = cli.json("tenants", "list", "--limit", "1")
    second = cli.json("tenants", "list", "--limit", "1", "--after", first["list_metadata"]["after"])
    assert {first["data"][0]["slug"], second["data"][0]["slug"]} == {"acme", "globex"}


def test_wrong_value_is_said_without_a_prefix_of_the_validator(cli: Cli) -> None:
    said = create(cli, "Bad_Slug", "https://id.example.com/realms/a")
    assert said.code == 2
    assert "/slug: must be 1 to 63 lower-case letters, digits and inner hyphens" in said.talk


def test_list_names_the_conditions_that_are_false(cli: Cli, acme: dict[str, Any]) -> None:
    assert "AudienceConfigured" not in cli("tenants", "list").out
    file = cli.environment["TENANTS_DATABASE_URL"].partition("///")[2]
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE realm_conditions SET status = 'False' WHERE type = 'AudienceConfigured'")
    assert "healthy, AudienceConfigured False" in cli("tenants", "list").out


def test_update_changes_only_what_is_given(cli: Cli, acme: dict[str, Any]) -> None:
    updated = cli.json("tenants", "update", "acme", "--external-id", "c-1", "--rule", "realm,manager,admin")

    assert updated["name"] == acme["name"]
    assert updated["external_id"] == "c-1"
    assert updated["role_mapping"] == [{"from": "realm", "value": "manager", "role": "admin"}]


def test_update_without_a_field_is_a_usage_error(cli: Cli, acme: dict[str, Any]) -> None:
    assert cli("tenants", "update", "acme").code == 2


def test_metadata_that_is_no_object_is_a_usage_error(cli: Cli, acme: dict[str, Any]) -> None:
    for text in ("[]", "{"):
        assert cli("tenants", "update", "acme", "--metadata", text).code == 2


def test_role_preview_shows_what_claims_are_worth(cli: Cli, acme: dict[str, Any]) -> None:
    claims = {"resource_access": {CLIENT_ID: {"roles": ["editor"]}, "other": {"roles": ["admin"]}}}

    preview = cli.json("roles", "preview", "acme", stdin=json.dumps(claims))

    assert preview["roles"] == ["editor"]
    assert preview["matched"] == [{"from": f"client:{CLIENT_ID}", "value": "editor", "role": "editor"}]


def test_role_preview_without_rules_counts_client_roles_of_the_realm_that_the_claims_name(
    cli: Cli, acme: dict[str, Any], realms: DevRealmServer
) -> None:
    other = realms.realm("globex").issuer
    assert cli("realms", "add", "acme", "--issuer", other, "--client-id", "other").code == 0
    claims = {"iss": realms.realm("acme").issuer, "resource_access": {"other": {"roles": ["admin"]}}}
    assert cli.json("roles", "preview", "acme", stdin=json.dumps(claims)) == {"roles": [], "matched": []}
    said = cli("roles", "preview", "acme", stdin=json.dumps(claims | {"iss": other}))
    assert "roles: admin\n" in said.talk  # not what it includes: the verifier gives that role alone


def test_table_goes_to_stdout_and_shows_markup_as_text(cli: Cli, acme: dict[str, Any]) -> None:
    cli("tenants", "update", "acme", "--name", "[bold]Acme[/bold]")

    assert "[bold]Acme[/bold]" in cli("tenants", "list").out


@pytest.mark.parametrize("slug", ["Acme", "a b", "-a", "a" * 64, ""])
def test_slug_that_no_path_could_bear_is_refused(cli: Cli, realms: DevRealmServer, slug: str) -> None:
    said = cli("tenants", "create", "--issuer", realms.realm("acme").issuer, "--client-id", CLIENT_ID, "--", slug)

    assert said.code == 2
    assert "/slug" in said.talk


def test_rule_for_a_role_that_nobody_knows_is_refused(cli: Cli, acme: dict[str, Any]) -> None:
    said = cli("tenants", "update", "acme", "--rule", "realm,manager,emperor")

    assert said.code == 2
    assert "/role_mapping/0/role" in said.talk


@pytest.mark.parametrize(
    "rule",
    [
        "realm:manager",
        '"client:a,edit,editor',
        '"client:a"edit,editor',
        ",edit,editor",
        '"",edit,editor',
        "client: a,b,viewer",
    ],
)
def test_rule_of_another_form_is_a_usage_error(cli: Cli, acme: dict[str, Any], rule: str) -> None:
    assert cli("tenants", "update", "acme", "--rule", rule).code == 2


@pytest.mark.parametrize(
    ("rule", "source", "value"),
    [
        ("client:My App,edit,editor", "client:My App", "edit"),
        ("client:My App,edit,all,editor", "client:My App", "edit,all"),
        ('"client:a,b",edit,editor', "client:a,b", "edit"),
        ('"client:a ""new"", b",edit,all,editor', 'client:a "new", b', "edit,all"),
    ],
)
def test_rule_names_a_client_by_any_id(cli: Cli, acme: dict[str, Any], rule: str, source: str, value: str) -> None:
    """A11"""
    updated = cli.json("tenants", "update", "acme", "--rule", rule)

    assert updated["role_mapping"] == [{"from": source, "value": value, "role": "editor"}]
    claims = {"resource_access": {source.removeprefix("client:"): {"roles": [value]}}}
    assert cli.json("roles", "preview", "acme", stdin=json.dumps(claims))["roles"] == ["editor"]
