"""All commands of `tenants-api`. The modules of a verb are imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command, get_group

from tenants_api import __version__

_CLI = "tenants_api.cli"
_HIDDEN = {"settings"}
# In the order of the help: name, module (of this package, or a dotted name) and attribute (a Typer or a function), and
# the help text, which is the same as the verb's own.
_VERBS = (
    (
        "demo",
        "tenants_api.devkit.demo.command:demo",
        "Run a demonstration on this machine: onboard a realm, use it, rotate its keys, suspend it.",
    ),
    ("serve", "serve:serve", "Serve the API; refuses to start on a database that is not migrated."),
    ("doctor", "doctor:doctor", "Check settings, database and registry; exit 3 if a check fails."),
    (
        "maintenance",
        "maintenance:maintenance",
        "Delete expired rows: idempotency keys, login attempts, rejections and, if set, audit events.",
    ),
    ("openapi", "openapi:openapi", "Print the OpenAPI document of `serve` (JSON, with or without --json)."),
    ("settings", "settings_table:settings", "Print every setting as a Markdown table."),
    ("db", "database:app", "Database: its schema and migrations."),
    ("tenants", "tenants:app", "Tenants: the customers and their states."),
    ("realms", "realms:app", "Realms: the issuers of a tenant."),
    ("keys", "keys:app", "Keys: the signature keys of a tenant's realms."),
    ("roles", "roles:app", "Roles: the role mapping of a tenant."),
    ("token", "tokens:app", "Tokens: explain why one is accepted or refused."),
    ("admin-keys", "admin_keys:app", "Admin keys: credentials of the admin plane."),
    ("audit", "audit:app", "Audit: every change, with actor and reason."),
    ("gateway", "gateway:app", "Configurations of proxies that authorize each request at /authz."),
    (
        "dev-realms",
        "tenants_api.devkit.demo.command:app",
        "Development realms: a small issuer with Keycloak's URLs. Do not expose it.",
    ),
)


class LazyVerb(TyperCommand):
    """A verb or a group of verbs whose module is imported when it is called."""

    def __init__(self, name: str, *, source: str, help: str) -> None:  # noqa: A002 (Click's name)
        super().__init__(name=name, help=help, hidden=name in _HIDDEN)
        self._source = source

    def load(self) -> Any:
        """Import the command."""
        module, _, attribute = self._source.partition(":")
        verb = getattr(import_module(module if "." in module else f"{_CLI}.{module}"), attribute)
        if isinstance(verb, typer.Typer):
            command: Any = get_group(verb)
        else:
            single = typer.Typer(add_completion=False)
            single.command(self.name)(verb)
            command = get_command(single)
        command.name = self.name
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """The context of the imported command, which Click then invokes."""
        return self.load().make_context(*args, **kwargs)


class Root(TyperGroup):
    """The root command; reports an expected error by a message and an exit code."""

    def __init__(self, **options: Any) -> None:
        verbs = {name: LazyVerb(name, source=source, help=text) for name, source, text in _VERBS}
        super().__init__(**{**options, "commands": verbs})

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, TyperException, BrokenPipeError):
            raise  # Typer handles these; BrokenPipeError (`| head`) without a message
        except Exception as error:
            exits = import_module(f"{_CLI}.exits")
            if not isinstance(error, exits.EXPECTED):
                raise
            raise typer.Exit(exits.report(error)) from error


app = typer.Typer(
    cls=Root,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    # Typer's pretty tracebacks print local variables, which hold tokens.
    pretty_exceptions_enable=False,
    epilog="Commands work on the database of TENANTS_DATABASE_URL, not over HTTP. "
    "Exit codes: 0 ok, 1 error, 2 usage, 3 a check failed, 4 not found, 5 conflict, 6 not authorised, "
    "7 unreachable.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """One API that accepts the bearer tokens of many Keycloak realms."""
