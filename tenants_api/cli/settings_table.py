"""`tenants-api settings` (hidden): docs/settings.md, made from the settings themselves."""

from __future__ import annotations

from typing import Any

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from tenants_api.cli.output import AsJson, print_json
from tenants_api.settings import PREFIX, Settings

HEAD = """# Settings

Made from the code by `tenants-api settings`; a test compares the two.

Every variable may also be given as `…_FILE`, the path of a file that holds the value (a mounted secret), or in a
file `.env` in the working directory. The environment wins over `…_FILE`, and that over `.env`. Times are seconds.
A wrong value stops the start with one line that names the variable.

| variable | default | meaning |
|---|---|---|
"""


def settings(as_json: AsJson = False) -> None:
    """Print every setting as a Markdown table."""
    rows = [_row(name, field=field) for name, field in Settings.model_fields.items()]
    if as_json:
        print_json(rows)
        return
    typer.echo(HEAD + "\n".join(_line(row) for row in rows))


def _row(name: str, *, field: FieldInfo) -> dict[str, Any]:
    return {
        "variable": f"{PREFIX}{name.upper()}",
        "default": field.default,
        "meaning": _meaning(field),
        "secret": "SecretStr" in str(field.annotation) or field.annotation is SecretStr,
    }


def _meaning(field: FieldInfo) -> str:
    choices = _choices(field)
    parts = [field.description or "", f"one of {choices}" if choices else "", _range(field)]
    return "; ".join(part for part in parts if part)


def _choices(field: FieldInfo) -> str:
    if "Literal" not in str(field.annotation):
        return ""
    return ", ".join(f"`{value}`" for value in field.annotation.__args__)  # type: ignore[union-attr]  # a Literal


def _range(field: FieldInfo) -> str:
    limits = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    return f"{limits['ge']:,} to {limits['le']:,}" if len(limits) == 2 else ""


def _line(row: dict[str, Any]) -> str:
    return f"| `{row['variable']}` | {_default(row['default'])} | {row['meaning']} |"


def _default(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return f"`{','.join(str(part) for part in value)}`"
    return f"`{value}`"
