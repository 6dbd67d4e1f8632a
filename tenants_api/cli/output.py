"""Data on stdout, talk on stderr: tables for people, JSON for machines. Knows no tenant.

Rich honours NO_COLOR and prints no escape codes when the stream is no terminal. Those that a realm or an admin wrote
into a name are never printed: they would drive the terminal of whoever looks at it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

_WIDEST_PIPE = 200  # columns of a table that no terminal limits
# C0, DEL, C1; what some reader takes for the end of a line; what turns the direction of the text round it.
_DRIVING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_DRIVING_BUT_LINES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def say(text: str, *, style: str = "") -> None:
    """One line for the person at the terminal, on stderr."""
    _console(stderr=True).print(Text(_harmless(text, driving=_DRIVING_BUT_LINES), style=style), soft_wrap=True)


def print_json(data: Any) -> None:
    """One JSON document on stdout, indented."""
    typer.echo(_json(data, indent=2))


def print_line(data: Any) -> None:
    """One JSON document on one line of stdout (NDJSON)."""
    typer.echo(_json(data, separators=(",", ":")))


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
        return Text(_harmless(", ".join(str(part) for part in value)))
    if isinstance(value, Mapping):
        return Text(_json(value))
    text = _harmless(str(value))
    return Text(text, style=_COLOURS.get(text, ""))


_COLOURS = {
    "active": "green", "healthy": "green", "True": "green", "ok": "green",
    "suspended": "yellow", "degraded": "yellow", "draft": "cyan", "Unknown": "dim",
    "deleted": "red", "failing": "red", "False": "red", "failed": "red",
}  # fmt: skip


def _json(data: Any, **form: Any) -> str:
    """JSON that keeps letters of every script; what JSON itself would not escape is escaped as JSON can read it."""
    return _harmless(json.dumps(data, ensure_ascii=False, default=str, **form), driving=_DRIVING_BUT_LINES)


def _harmless(text: str, *, driving: re.Pattern[str] = _DRIVING) -> str:
    return driving.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _WIDEST_PIPE
    return Console(file=stream, width=width, highlight=False)
