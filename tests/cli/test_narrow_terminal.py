"""In a terminal of 80 columns nothing is cut, and ids and issuers stay in one piece (E16)."""

from __future__ import annotations

from typing import Any

import pytest

from tenants_api.devkit.realms import DevRealmServer
from tests.cli.conftest import CLIENT_ID, Cli

NAME = "production-realm-of-a-customer-with-a-long-name-that-is-wider-than-a-terminal"


@pytest.fixture
def narrow(cli: Cli) -> Cli:
    return Cli(cli.environment | {"COLUMNS": "80"})


@pytest.fixture
def second(narrow: Cli, acme: dict[str, Any], realms: DevRealmServer) -> dict[str, Any]:
    """A second realm of acme, with an issuer that is wider than the terminal, and another tenant."""
    long = f"{realms.base_url}/realms/{NAME}"
    narrow("tenants", "create", "globex", "--issuer", f"{long}-2", "--client-id", CLIENT_ID, "--activate", "never")
    words = "--issuer", long, "--client-id", CLIENT_ID, "--organization", "red", "--no-enabled"
    added: dict[str, Any] = narrow.json("realms", "add", "acme", *words)
    return added


@pytest.mark.parametrize(
    "words",
    [("tenants", "list"), ("tenants", "show", "acme"), ("realms", "list", "acme"), ("realms", "show", "acme", "2")],
)
def test_issuer_is_printed_in_one_piece(narrow: Cli, second: dict[str, Any], words: tuple[str, ...]) -> None:
    said = narrow(*words)

    assert said.code == 0, said.talk
    assert NAME in said.out
    assert "…" not in said.out


def test_ids_can_be_copied(narrow: Cli, acme: dict[str, Any], second: dict[str, Any]) -> None:
    for words in (("tenants", "show", "acme"), ("realms", "list", "acme")):
        said = narrow(*words)
        assert all(realm["id"] in said.out for realm in (acme["realms"][0], second)), words


def test_conditions_tell_which_realm_they_belong_to(narrow: Cli, acme: dict[str, Any], second: dict[str, Any]) -> None:
    first, _, rest = narrow("tenants", "show", "acme").out.partition("\nrealm         2\n")

    assert acme["realms"][0]["issuer"] in first
    assert NAME in rest
    assert "organization  red\n" in rest


def test_row_is_one_line_in_a_pipe(cli: Cli, second: dict[str, Any]) -> None:
    header, *rows = cli("realms", "list", "acme").out.splitlines()

    assert header.split() == ["realm", "issuer", "organization", "client_id", "enabled", "health", "id"]
    assert [row.split()[0] for row in rows] == ["1", "2"]


def test_realm_is_named_by_number_issuer_or_id(
    cli: Cli, acme: dict[str, Any], second: dict[str, Any], realms: DevRealmServer
) -> None:
    for ref in ("2", second["issuer"], second["id"], second["id"].upper()):
        assert cli.json("realms", "show", "acme", ref)["id"] == second["id"]
    assert cli.json("realms", "set", "acme", "2", "--login-client-id", "web")["login_client_id"] == "web"
    issuer = acme["realms"][0]["issuer"]
    assert [one["issuer"] for one in cli.json("keys", "list", "acme", "1")["data"]] == [issuer]
    assert cli.json("realms", "remove", "acme", second["issuer"]) == {"removed": second["id"]}
    assert cli("realms", "show", "acme", "2").code == 4
    assert cli("realms", "show", "acme", cli.json("tenants", "show", "globex")["realms"][0]["id"]).code == 4


def test_issuer_of_several_realms_is_refused_with_their_numbers(cli: Cli, second: dict[str, Any]) -> None:
    words = "--issuer", second["issuer"], "--client-id", CLIENT_ID, "--organization", "blue", "--no-enabled"
    assert cli("realms", "add", "acme", *words).code == 0

    said = cli("realms", "remove", "acme", second["issuer"])

    assert said.code == 2
    assert "numbers 2, 3" in said.talk
