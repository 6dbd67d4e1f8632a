"""The roles of an application of one's own, as `TENANTS_ROLES` gives them to every process (E1)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenants_api import RoleModel, Tenancy, create_app
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.settings import Settings, SettingsError, load_settings
from tenants_api.tokens.principal import SAMPLE_ROLES, roles_of_process
from tests.cli.conftest import CLIENT_ID, Cli

ROLES = '{"lead": ["clerk"], "clerk": []}'


@pytest.fixture
def own(cli: Cli) -> Cli:
    return Cli(cli.environment | {"TENANTS_ROLES": ROLES})


def test_own_roles_are_mapped_exported_applied_explained_and_previewed(
    own: Cli, realms: DevRealmServer, tmp_path: Path
) -> None:
    rules = ("--rule", "realm,tenant-user,lead", "--rule", "group,/staff,clerk")
    created = ("tenants", "create", "acme", "--issuer", realms.realm("acme").issuer, "--client-id", CLIENT_ID)
    assert [rule["role"] for rule in own.json(*created, *rules)["role_mapping"]] == ["lead", "clerk"]
    file = tmp_path / "tenants.yaml"
    file.write_text(own("tenants", "export").out, "utf-8")
    assert own("tenants", "apply", "-f", str(file), "--yes").code == 0
    claims = {"realm_access": {"roles": ["tenant-user"]}}
    assert own.json("roles", "preview", "acme", stdin=json.dumps(claims))["roles"] == ["lead"]
    explained = own.json("token", "explain", stdin=realms.realm("acme").mint(username="alice"))
    assert "lead" in explained["roles"]


def test_role_that_is_not_the_applications_is_refused_with_the_setting(own: Cli, realms: DevRealmServer) -> None:
    words = ("tenants", "create", "acme", "--issuer", realms.realm("acme").issuer, "--client-id", CLIENT_ID)
    said = own(*words, "--rule", "realm,manager,editor")
    assert (said.code, "must be one of clerk, lead (TENANTS_ROLES)" in said.talk) == (2, True), said.talk


def test_gateway_is_rendered_for_the_roles_that_forward_auth_accepts(unmigrated: Cli) -> None:
    own = Cli(unmigrated.environment | {"TENANTS_ROLES": ROLES})
    assert "role=lead" in own("gateway", "render", "nginx", "--role", "lead").out
    said = unmigrated("gateway", "render", "nginx", "--role", "lead")
    assert (said.code, "TENANTS_ROLES" in said.talk) == (2, True)
    assert "unknown role 'lead'; expected one of admin, editor, viewer" in said.talk


def test_code_and_setting_must_not_differ() -> None:
    settings = Settings(_env_file=None, roles=json.loads(ROLES))  # type: ignore[call-arg]
    same = RoleModel({"clerk": set(), "lead": {"clerk"}})
    assert Tenancy(settings, roles=same).roles is same
    assert Tenancy(settings).roles.names == {"lead", "clerk"}
    assert roles_of_process(None, in_settings=None) is SAMPLE_ROLES
    for make in (Tenancy, create_app):
        with pytest.raises(ValueError, match=r'^TENANTS_ROLES holds {"clerk": \[\], "lead": \["clerk"\]}'):
            make(settings, roles=RoleModel({"lead": (), "clerk": ()}))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("lead,clerk", 'expected a JSON object such as {"manager": ["clerk"], "clerk": []}'),
        ('["lead"]', "expected a JSON object"),
        ('{"lead": ["clerk"]}', "'lead' includes 'clerk', which is not a member"),
        ('{"": []}', "at least 1 character"),
    ],
)
def test_wrong_value_is_named_in_one_line(value: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTS_ROLES", value)
    with pytest.raises(SettingsError, match=r"^TENANTS_ROLES holds ") as refused:
        load_settings(_env_file=None)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
