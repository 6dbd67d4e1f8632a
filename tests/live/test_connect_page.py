"""`docs/connect-keycloak.md`: its commands run as they are on a stock realm, and its tokens are then accepted."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.live.api_server import ApiServer
from tests.live.keycloak_login import Tokens
from tests.live.keycloak_server import ADMIN_NAME, ADMIN_PASSWORD, KeycloakServer

pytestmark = [pytest.mark.keycloak, pytest.mark.xdist_group("keycloak")]
PAGE = (ROOT / "docs" / "connect-keycloak.md").read_text(encoding="utf-8")
VARIABLES, CLIENT, *PARTS, IMPORT, ORGANIZATIONS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
(IMPORTED,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
REALM, SECRET = "stock", "secret-of-billing"
# One Java for each call: what starts soonest.
QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


class Kcadm:
    """A shell with `kcadm.sh`, logged in, whose variables are those of the page."""

    def __init__(self, keycloak: KeycloakServer, *, api: ApiServer, folder: Path) -> None:
        self._environment = os.environ | {
            "KC_OPTS": f"-Duser.home={folder} {QUICK_JAVA}",
            "BIN": str(keycloak.process.home / "bin"),
            "ADMIN": ADMIN_NAME,
            "ADMIN_PASSWORD": ADMIN_PASSWORD,
            "BILLING_SECRET": SECRET,
        }
        self._folder = folder
        self._values = f"export KEYCLOAK={keycloak.base_url} REALM={REALM} CLIENT=web API={api.base_url}"
        assert VARIABLES.startswith("export KEYCLOAK="), "the page begins with its variables"

    def run(self, *blocks: str) -> None:
        login = VARIABLES.split("\n", 1)[1]
        function = 'kcadm.sh() { bash "$BIN/kcadm.sh" "$@"; }'
        script = "\n".join(["set -eu", function, self._values, login, *blocks])
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def kcadm(keycloak: KeycloakServer, api: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Kcadm:
    """On a realm with nothing but users and a client of the customer's application."""
    keycloak.admin.create_realm({"realm": REALM, "enabled": True, "users": [_user("alice"), _user("bob")]})
    client = {"clientId": "web", "publicClient": True, "directAccessGrantsEnabled": True}
    keycloak.admin.create_client(REALM, client)
    return Kcadm(keycloak, api=api, folder=tmp_path_factory.mktemp("kcadm"))


def _user(name: str) -> dict[str, object]:
    return {
        "username": name, "enabled": True, "email": f"{name}@stock.example", "emailVerified": True,
        "firstName": name, "lastName": "Doe", "groups": [],
        "credentials": [{"type": "password", "value": f"{name}-pw"}],
    }  # fmt: skip


def test_commands_of_the_page_connect_a_stock_realm(keycloak: KeycloakServer, api: ApiServer, kcadm: Kcadm) -> None:
    login = keycloak.login(REALM)
    kcadm.run(CLIENT)
    tenant = api.register(REALM, issuer=keycloak.issuer(REALM), docs_client_id="tenants-api-docs",
                          login_client_id="tenants-api-login")  # fmt: skip
    assert api.me(login.password("bob").access).status_code == 401, "without the audience"

    kcadm.run(*PARTS, 'kcadm.sh update "users/$(kcadm.sh get users -r "$REALM" -q username=bob --fields id '
              '--format csv --noquotes)/groups/$(kcadm.sh get groups -r "$REALM" --fields id --format csv --noquotes)" '
              '-r "$REALM" -b \'{}\'')  # fmt: skip
    assert _roles(api, login.password("alice")) == ["editor"]
    assert _roles(api, login.password("bob")) == []
    signed_in = login.code(
        "alice",
        client_id="tenants-api-docs",
        redirect_uri=f"{api.base_url}/docs/static/oauth2-redirect.html",
    )
    assert _roles(api, signed_in) == ["editor"]
    account = api.me(login.client_credentials("billing", secret=SECRET).access).json()
    assert (account["service_account"], account["roles"]) == (True, ["viewer"])
    answer = api.call("POST", f"/t/{REALM}/login", data={"username": "alice", "password": "alice-pw"})
    assert answer.status_code == 200, answer.text
    assert api.me(answer.json()["access_token"]).status_code == 200

    path = f"/tenants/{tenant.id}/role-mapping"
    etag = api.admin("GET", path).headers["ETag"]
    rules = [{"from": "group", "value": "/clerks", "role": "editor"}]
    assert api.admin("PUT", path, json=rules, headers={"If-Match": etag}).status_code == 200
    api.settle()
    assert _roles(api, login.password("bob")) == ["editor"]


def test_file_of_the_page_makes_both_clients(keycloak: KeycloakServer, kcadm: Kcadm) -> None:
    kcadm.run(
        "export REALM=imported",
        'kcadm.sh create realms -s realm="$REALM" -s enabled=true',
        f"cat > connect.json <<'JSON'\n{IMPORTED}JSON",
        IMPORT,
        'kcadm.sh get clients -r "$REALM" --fields clientId --format csv --noquotes > clients.txt',
        'test "$(grep -cx "web\\|tenants-api" clients.txt)" = 2',
    )
    keycloak.admin.delete_realm("imported")


def test_organizations_of_the_page(keycloak: KeycloakServer, kcadm: Kcadm) -> None:
    if int(keycloak.version.split(".")[0]) < 26:
        with pytest.raises(AssertionError):
            kcadm.run(ORGANIZATIONS)
        return
    kcadm.run(ORGANIZATIONS, 'kcadm.sh get organizations -r "$REALM" | grep -q initech')


def _roles(api: ApiServer, tokens: Tokens) -> list[str]:
    answer = api.me(tokens.access)
    assert answer.status_code == 200, answer.text
    roles: list[str] = answer.json()["roles"]
    return roles
