"""Output of commands: data on stdout as tables or JSON, messages on stderr.

Rich honours NO_COLOR and prints no escape codes unless the stream is a terminal. Control characters in names are
escaped: a realm or an admin could control the terminal of the reader with them.
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

PIPE_WIDTH_COLUMNS = 200  # of a table in a pipe or file
# C0, DEL, C1; line and paragraph separators; marks, embeddings and overrides of the text direction.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNSAFE_EXCEPT_LINES = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def say(text: str, *, style: str = "") -> None:
    """Print a message on stderr."""
    _console(stderr=True).print(Text(_escaped(text, unsafe=_UNSAFE_EXCEPT_LINES), style=style), soft_wrap=True)


def print_json(data: Any) -> None:
    """Print an indented JSON document on stdout."""
    typer.echo(_json(data, indent=2))


def print_line(data: Any) -> None:
    """Print a JSON document on one line of stdout (NDJSON)."""
    typer.echo(_json(data, separators=(",", ":")))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table on stdout; None is a dash, lists are joined."""
    table = Table(*columns, header_style="bold", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    _console().print(table)


def print_record(record: Mapping[str, Any]) -> None:
    """Print a record on stdout, one field a line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in record.items():
        table.add_row(Text(name, style="bold"), cell(value))
    _console().print(table)


def cell(value: Any) -> Text:
    """A value as literal text: Rich does not interpret markup in a `Text`."""
    if value is None or value in ("", (), [], {}):
        return Text("-", style="dim")
    if isinstance(value, (list, tuple)):
        return Text(_escaped(", ".join(str(part) for part in value)))
    if isinstance(value, Mapping):
        return Text(_json(value))
    text = _escaped(str(value))
    return Text(text, style=_COLOURS.get(text, ""))


_COLOURS = {
    "active": "green", "healthy": "green", "True": "green", "ok": "green",
    "suspended": "yellow", "degraded": "yellow", "draft": "cyan", "Unknown": "dim",
    "deleted": "red", "failing": "red", "False": "red", "failed": "red",
}  # fmt: skip


def _json(data: Any, **form: Any) -> str:
    """JSON without escaping letters; characters that are unsafe for a terminal are escaped as in JSON."""
    return _escaped(json.dumps(data, ensure_ascii=False, default=str, **form), unsafe=_UNSAFE_EXCEPT_LINES)


def _escaped(text: str, *, unsafe: re.Pattern[str] = _UNSAFE) -> str:
    return unsafe.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH_COLUMNS
    return Console(file=stream, width=width, highlight=False)
