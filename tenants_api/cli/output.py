"""Data on stdout, talk on stderr: tables for people, JSON for machines. Knows no tenant.

Rich honours NO_COLOR and prints no escape codes when the stream is no terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

_WIDEST_PIPE = 200  # columns of a table that no terminal limits


def say(text: str, *, style: str = "") -> None:
    """One line for the person at the terminal, on stderr."""
    _console(stderr=True).print(Text(text, style=style), soft_wrap=True)


def print_json(data: Any) -> None:
    """One JSON document on stdout, indented."""
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def print_line(data: Any) -> None:
    """One JSON document on one line of stdout (NDJSON)."""
    typer.echo(json.dumps(data, ensure_ascii=False, default=str, separators=(",", ":")))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on stdout; None is a dash, lists are joined."""
    table = Table(*columns, header_style="bold", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    _console().print(table)


def print_record(record: Mapping[str, Any]) -> None:
    """One thing on stdout, a line for each field."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in record.items():
        table.add_row(Text(name, style="bold"), cell(value))
    _console().print(table)


def cell(value: Any) -> Text:
    """A value as literal text; Text also keeps Rich from reading markup out of what a realm or an admin wrote."""
    if value is None or value in ("", (), [], {}):
        return Text("-", style="dim")
    if isinstance(value, (list, tuple)):
        return Text(", ".join(str(part) for part in value))
    if isinstance(value, Mapping):
        return Text(json.dumps(value, ensure_ascii=False, default=str))
    text = str(value)
    return Text(text, style=_COLOURS.get(text, ""))


_COLOURS = {
    "active": "green", "healthy": "green", "True": "green", "ok": "green",
    "suspended": "yellow", "degraded": "yellow", "draft": "cyan", "Unknown": "dim",
    "deleted": "red", "failing": "red", "False": "red", "failed": "red",
}  # fmt: skip


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDEST_PIPE
    return Console(file=stream, width=width, highlight=False)
