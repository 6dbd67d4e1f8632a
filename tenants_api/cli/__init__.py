"""The command line: one file for each group of verbs, on the same services as the API.

A command's libraries are imported when it is called: standalone forward auth starts without those of other commands.
"""

from __future__ import annotations

import sys
from importlib import import_module


def main() -> None:
    """The entry point of `tenants-api`."""
    words = sys.argv[1:]
    if words[:1] == ["serve"] and "--authz-only" in words and not {"-h", "--help"} & set(words):
        sys.exit(import_module("tenants_api.server.standalone").main(words[1:]))
    if words[:1] == ["demo"]:  # Typer has no options with an optional value
        words = ["--keycloak=auto" if word == "--keycloak" else word for word in words]
    import_module("tenants_api.cli.commands").app(words, prog_name="tenants-api")
