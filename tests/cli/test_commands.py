"""Rules that hold for every command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tenants_api import __version__
from tenants_api.cli.commands import LazyVerb, app
from tenants_api.cli.exits import exit_code
from tenants_api.errors import ApiError, all_errors
from tests.cli.conftest import Cli

VERBS = {
    "demo", "serve", "doctor", "openapi", "dev-realms serve", "roles preview", "token explain",
    "db upgrade", "db check", "db current", "db history", "db downgrade",
    "tenants list", "tenants show", "tenants create", "tenants update", "tenants activate", "tenants suspend",
    "tenants resume", "tenants delete", "tenants restore", "tenants purge",
    "roles list", "roles set", "realms set",
    "realms add", "realms list", "realms show", "realms remove", "realms check", "keys list", "keys refresh",
    "admin-keys create", "admin-keys list", "admin-keys revoke", "audit tail", "audit export", "gateway render",
}  # fmt: skip


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, listed in group.commands.items():
        command = listed.load() if isinstance(listed, LazyVerb) else listed
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


ROOT = get_command(app)
COMMANDS = dict(commands(ROOT))
WEB = ("fastapi", "starlette", "uvicorn")
IMPORTED = "import sys; from tenants_api.cli import main; sys.argv = {words!r}\ntry: main()\nexcept SystemExit: pass\n"


def test_every_verb_of_the_contract_is_there() -> None:
    assert set(COMMANDS) >= VERBS


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_takes_json_and_says_what_it_does(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}

    assert "--json" in options
    assert COMMANDS[name].help


@pytest.mark.parametrize("listed", ROOT.commands.values(), ids=str)
def test_list_of_commands_shows_the_help_of_the_verb_itself(listed: LazyVerb) -> None:
    assert listed.help == listed.load().help


@pytest.mark.parametrize(
    ("words", "absent"),
    [
        (["--help"], ("tenants_api.settings", "tenants_api.cli.exits", "sqlalchemy", *WEB)),
        (["no-such-verb"], ("tenants_api.settings", "tenants_api.cli.exits", "sqlalchemy", *WEB)),
        (["tenants", "list"], WEB),
        (["doctor"], WEB),
    ],
    ids=" ".join,
)
def test_command_imports_no_module_of_another_verb(words: list[str], absent: tuple[str, ...], unmigrated: Cli) -> None:
    code = IMPORTED.format(words=["tenants-api", *words]) + f"print([n for n in {absent} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | unmigrated.environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("words", [["-h"], ["realms", "-h"], ["realms", "set", "-h"], ["serve", "-h"]], ids=" ".join)
def test_short_option_shows_the_help(unmigrated: Cli, words: list[str]) -> None:
    """E19"""
    said = unmigrated(*words)

    assert said.code == 0
    assert "Usage: tenants-api" in said.out


def test_shell_completes_verbs_of_groups_that_are_imported_lazily(unmigrated: Cli) -> None:
    """E19"""
    asked = {"_TENANTS_API_COMPLETE": "complete_bash", "COMP_WORDS": "tenants-api realms s", "COMP_CWORD": "2"}
    said = Cli(unmigrated.environment | asked)()

    assert said.out.split() == ["set", "show"]


def test_version_needs_nothing() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.strip() == __version__


@pytest.mark.parametrize("error", sorted(all_errors(), key=str))
def test_every_refusal_has_an_exit_code_of_the_contract(error: type[ApiError]) -> None:
    refusal = error.__new__(error)

    assert exit_code(refusal) in range(1, 8)


@pytest.mark.parametrize(
    ("status", "code"), [(401, 6), (403, 6), (404, 4), (409, 5), (412, 5), (422, 2), (500, 1), (502, 7), (503, 7)]
)
def test_status_decides_the_exit_code(status: int, code: int) -> None:
    refusal = type("Refusal", (ApiError,), {"status": status})()

    assert exit_code(refusal) == code


def test_output_holds_no_escape_codes_where_nobody_looks() -> None:
    assert "\x1b" not in CliRunner().invoke(app, ["settings"]).stdout


def test_gateway_render_prints_a_configuration_and_refuses_a_value_that_would_change_it(unmigrated: Cli) -> None:
    said = unmigrated("gateway", "render", "nginx", "--tenant", "acme")
    assert said.code == 0
    assert "authz?profile=nginx&tenant=acme;" in said.out
    assert unmigrated.json("gateway", "render", "caddy")["proxy"] == "caddy"
    assert unmigrated("gateway", "render", "nginx", "--upstream", "a:1; x").code == 2
    large = Cli(unmigrated.environment | {"TENANTS_MAX_TOKEN_BYTES": "65536"})
    assert "large_client_header_buffers 4 72k;" in large("gateway", "render", "nginx").out
