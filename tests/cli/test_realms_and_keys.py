"""Realms, their keys and tokens on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tenants_api.devkit.realms import DevRealmServer
from tests.cli.conftest import CLIENT_ID, Cli


def test_second_realm_is_added_listed_and_removed(cli: Cli, acme: dict[str, Any], realms: DevRealmServer) -> None:
    added = cli.json("realms", "add", "acme", "--issuer", realms.realm("globex").issuer, "--client-id", CLIENT_ID)

    assert len(cli.json("realms", "list", "acme")["data"]) == 2
    assert cli.json("realms", "show", "acme", added["id"])["issuer"] == realms.realm("globex").issuer
    assert cli("realms", "remove", "acme", added["id"]).code == 0
    assert cli("realms", "show", "acme", added["id"]).code == 4


def test_issuer_of_another_tenant_is_a_conflict(cli: Cli, acme: dict[str, Any], realms: DevRealmServer) -> None:
    cli("tenants", "create", "globex", "--issuer", realms.realm("globex").issuer, "--client-id", CLIENT_ID)

    assert cli("realms", "add", "acme", "--issuer", realms.realm("globex").issuer, "--client-id", CLIENT_ID).code == 5


def test_check_of_a_good_realm_passes_and_stores_nothing(cli: Cli, realms: DevRealmServer) -> None:
    report = cli.json("realms", "check", "--issuer", realms.realm("globex").issuer, "--client-id", CLIENT_ID)

    assert report["ready"] is True
    assert cli.json("tenants", "list")["data"] == []


def test_check_of_a_missing_realm_fails_and_names_the_condition(cli: Cli, realms: DevRealmServer) -> None:
    issuer = realms.realm("acme").issuer.replace("acme", "initech")

    said = cli("realms", "check", "--issuer", issuer, "--client-id", CLIENT_ID, "--json")

    assert said.code == 3
    assert "False" in {condition["status"] for condition in said.data["conditions"]}


def test_check_of_a_registered_tenant_runs_now(cli: Cli, acme: dict[str, Any], realms: DevRealmServer) -> None:
    assert cli("realms", "check", "acme").code == 0
    realms.realm("acme").disable()
    try:
        assert cli("realms", "check", "acme").code == 3
    finally:
        realms.realm("acme").enable()


def test_check_of_a_registered_tenant_takes_a_sample_and_stores_nothing(
    cli: Cli, acme: dict[str, Any], realms: DevRealmServer, tmp_path: Path
) -> None:
    """E8"""
    cli("tenants", "create", "globex", "--issuer", realms.realm("globex").issuer, "--client-id", CLIENT_ID)
    good, foreign = tmp_path / "good", tmp_path / "foreign"
    good.write_text(realms.realm("acme").mint())
    foreign.write_text(realms.realm("globex").mint())

    said = cli("realms", "check", "acme", "--sample", str(good), "--json")
    assert said.code == 0
    found = {one["type"]: one["status"] for one in said.data["data"][0]["conditions"]}
    assert (found["AudienceConfigured"], found["SampleTokenVerified"]) == ("True", "True")
    said = cli("realms", "check", "acme", "--sample", str(foreign))
    assert said.code == 3
    assert "the sample token is refused" in said.out
    assert cli.json("tenants", "show", "acme") == acme


def test_check_of_nothing_is_a_usage_error(cli: Cli) -> None:
    assert cli("realms", "check").code == 2


def test_keys_are_stored_by_onboarding_and_refreshed_by_hand(
    cli: Cli, acme: dict[str, Any], realms: DevRealmServer
) -> None:
    stored = cli.json("keys", "list", "acme")["data"]
    kid = realms.realm("acme").rotate()
    refreshed = cli.json("keys", "refresh", "acme")["data"]

    assert stored[0]["source"] == "stored"
    assert kid not in {key["kid"] for key in stored[0]["keys"]}
    assert kid in {key["kid"] for key in refreshed[0]["keys"]}
    assert kid in {key["kid"] for key in cli.json("keys", "list", "acme")["data"][0]["keys"]}


def test_good_token_is_explained_from_stdin_and_from_a_file(
    cli: Cli, acme: dict[str, Any], realms: DevRealmServer, tmp_path: Path
) -> None:
    token = realms.realm("acme").mint()
    file = tmp_path / "token"
    file.write_text(token)

    for said in (
        cli("token", "explain", "--json", stdin=token),
        cli("token", "explain", "--file", str(file), "--json"),
    ):
        assert said.code == 0
        assert said.data["accepted"] is True
        assert said.data["tenant"]["slug"] == "acme"
        assert said.data["roles"] == ["editor"]
        assert token not in said.out + said.talk


def test_token_of_another_realm_is_refused_with_its_reason(
    cli: Cli, acme: dict[str, Any], realms: DevRealmServer
) -> None:
    said = cli("token", "explain", "-", "--json", stdin=realms.realm("globex").mint())

    assert said.code == 3
    assert said.data["accepted"] is False
    assert said.data["reason"]
    assert "register this issuer" in said.data["hint"]


def test_explanation_says_what_to_do_and_lists_the_roles_of_the_token(
    cli: Cli, acme: dict[str, Any], realms: DevRealmServer
) -> None:
    """E24"""
    mint = realms.realm("acme").mint
    said = cli("token", "explain", stdin=mint(claims={"aud": "other", "azp": "web {client}"}))
    assert said.code == 3
    assert f"hint: in Keycloak add an audience mapper for {CLIENT_ID} to the client 'web {{client}}'" in said.talk
    assert "client:tenants-api  editor" in said.out

    roles = {"resource_access": {"a": {"roles": ["x"]}}, "groups": ["/staff"]}
    said = cli("token", "explain", "--json", stdin=mint(claims=roles))
    assert (said.code, said.data["roles"]) == (0, [])
    assert {"from": "client:a", "value": "x"} in said.data["roles_found"]
    assert {"from": "group", "value": "/staff"} in said.data["roles_found"]
    assert "map one of the roles" in said.data["hint"]


def test_token_on_the_command_line_is_read_with_a_warning(
    cli: Cli, acme: dict[str, Any], realms: DevRealmServer
) -> None:
    said = cli("token", "explain", realms.realm("acme").mint(username="bob"), "--json")

    assert said.code == 0
    assert "history" in said.talk


def test_set_changes_what_is_given_and_nothing_else(cli: Cli, acme: dict[str, Any], realms: DevRealmServer) -> None:
    issuer, (realm,) = realms.realm("globex").issuer, acme["realms"]
    given = "--audience", CLIENT_ID, "--audience", "web", "--login-client-id", "login", "--no-enabled"
    added = cli.json("realms", "add", "acme", "--issuer", issuer, "--client-id", CLIENT_ID, *given)
    expected = ["tenants-api", "web"], "login", False
    assert (added["audiences"], added["login_client_id"], added["enabled"]) == expected

    changed = cli.json("realms", "set", "acme", added["id"], "--enabled", "--audience", "", "--authorized-party", "web")

    same = {"audiences": [CLIENT_ID], "authorized_parties": ["web"], "enabled": True, "health": "healthy"}
    own = {"conditions", "version", "updated_at"}
    assert {**changed, **dict.fromkeys(own)} == {**added, **same, **dict.fromkeys(own)}
    assert cli.json("realms", "show", "acme", realm["id"]) == realm, "another realm of the tenant"
    assert cli("realms", "set", "acme", added["id"]).code == 2
    assert cli("realms", "set", "acme", added["id"], "--client-id", " x ").code == 2


def test_realms_own_authority_is_read_from_a_file(
    cli: Cli, acme: dict[str, Any], realms: DevRealmServer, tmp_path: Path
) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no PEM")
    (realm,) = acme["realms"]

    said = cli("realms", "set", "acme", realm["id"], "--ca-file", str(file))

    assert said.code == 2
    assert "/ca_bundle" in said.talk
