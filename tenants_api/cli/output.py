"""Output of commands: data on stdout as tables or JSON, messages on stderr.

No value is cut. A table that is too wide for the terminal is printed as records, one field a line, and the terminal
wraps long lines itself, so that ids and issuers can be copied. In a pipe or file every row of a table is one line.

Rich honours NO_COLOR and prints no escape codes unless the stream is a terminal. Control characters in names are
escaped: a realm or an admin could control the terminal of the reader with them.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]

PIPE_WIDTH_COLUMNS = 1_000_000  # of a table in a pipe or file: no row is wrapped
MIN_TEXT_COLUMNS = 30  # of a text in the last column; a narrower one is hard to read
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
    console, cells = _console(), [[cell(value) for value in row] for row in rows]
    if _width(columns, cells) > console.width:
        for n, values in enumerate(cells):
            console.print("" if n == 0 else "\n", end="")
            _print_fields(console, dict(zip(columns, values, strict=True)))
        return
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name != columns[-1])
    for values in cells:
        table.add_row(*values)
    console.print(table)


def print_record(record: Mapping[str, Any]) -> None:
    """Print a record on stdout, one field a line."""
    _print_fields(_console(), {name: cell(value) for name, value in record.items()})


def _print_fields(console: Console, fields: Mapping[str, Text]) -> None:
    width = max(map(cell_len, fields), default=0)
    for name, value in fields.items():
        # The terminal wraps: a line break of ours would be copied with the value.
        console.print(Text.assemble((name.ljust(width), "bold"), "  ", value), soft_wrap=True)


def _width(columns: Sequence[str], rows: Sequence[Sequence[Text]]) -> int:
    """The width of a table in which only texts of several words in the last column are wrapped."""
    whole = [max(map(cell_len, (name, *(row[n].plain for row in rows)))) for n, name in enumerate(columns)]
    last = [row[-1].plain for row in rows]
    words = [cell_len(text) if " " not in text else min(cell_len(text), MIN_TEXT_COLUMNS) for text in last]
    return sum(whole[:-1]) + max([cell_len(columns[-1]), *words]) + 2 * (len(columns) - 1)


def cell(value: Any) -> Text:
    """A value as literal text: Rich does not interpret markup in a `Text`."""
    if value is None or value in ("", (), [], {}):
        return Text("-", style="dim")
    if isinstance(value, (list, tuple)):
        return Text(_escaped(", ".join(str(part) for part in value)))
    if isinstance(value, Mapping):
        return Text(_json(value))
    text = rfc3339(value) if isinstance(value, datetime) else _escaped(str(value))
    return Text(text, style=_COLOURS.get(text, ""))


_COLOURS = {
    "active": "green", "healthy": "green", "True": "green", "ok": "green",
    "suspended": "yellow", "degraded": "yellow", "draft": "cyan", "Unknown": "dim",
    "deleted": "red", "failing": "red", "False": "red", "failed": "red",
}  # fmt: skip


def _json(data: Any, **form: Any) -> str:
    """JSON without escaping letters; characters that are unsafe for a terminal are escaped as in JSON."""
    return _escaped(json.dumps(data, ensure_ascii=False, default=_plain, **form), unsafe=_UNSAFE_EXCEPT_LINES)


def rfc3339(value: datetime) -> str:
    """A UTC time as the API writes it."""
    return value.isoformat().replace("+00:00", "Z")


def _plain(value: Any) -> str:
    return rfc3339(value) if isinstance(value, datetime) else str(value)


def _escaped(text: str, *, unsafe: re.Pattern[str] = _UNSAFE) -> str:
    return unsafe.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _console(*, stderr: bool = False) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH_COLUMNS
    return Console(file=stream, width=width, highlight=False)
