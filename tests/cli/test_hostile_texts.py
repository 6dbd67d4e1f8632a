"""What a realm, a tenant or a user wrote comes out of the command line as text: no second document, no escape code."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tenants_api.cli.output import cell, print_json, print_line, print_record, print_table, say

FORGED = '{"action":"tenant.created"}'
BREAKS = ("\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")
# Clears the screen, sets the title, and the same by C1; reverses the order; rings; overwrites what stood there.
CODES = (
    "\x1b[2J",
    "\x1b]0;owned\x07",
    "\x9b2J",
    "\x9d0;owned\x9c",
    "\u202e",
    "\u2066",
    "\x07",
    "\x08\x08",
    "\x7f",
    "\rgood",
)


@pytest.mark.parametrize("line_break", BREAKS, ids=ascii)
def test_exported_value_makes_no_second_line(line_break: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Readers differ in what ends a line; NDJSON must have one document on each, whoever reads it."""
    print_line({"name": f"acme{line_break}{FORGED}"})
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == [f"acme{line_break}{FORGED}"]


@pytest.mark.parametrize("value", ["=cmd()", "+1", "-1", "@SUM(A1)", "\t=1", '"', ",", "\U0001f600", "ü"], ids=ascii)
def test_exported_value_comes_back_as_it_was(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no CSV here: a formula is a JSON string, quoted, and never the first thing of a cell."""
    print_line({"name": value})
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": value}
    assert out.startswith('{"name":"')


def by_table(value: Any) -> None:
    print_table(("name", "others"), [(value, [value])])


def by_record(value: Any) -> None:
    print_record({"name": value, "others": {"x": value}})


@pytest.mark.parametrize("show", [by_table, by_record, print_json, print_line, say], ids=lambda one: one.__name__)
@pytest.mark.parametrize("code", CODES, ids=ascii)
def test_text_of_a_stranger_does_not_drive_the_terminal(
    show: Any, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show(f"a{code}b")
    captured = capsys.readouterr()
    written = captured.out + captured.err
    assert "a" in written
    assert not set(written) & set("\x1b\x9b\x9d\x9c\x07\x08\x7f\u202e\u2066\r")


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert cell("[bold]x[/bold]").plain == "[bold]x[/bold]"
    by_table("[link=https://evil.example]x[/link]")
    assert "[link=https://evil.example]x[/link]" in capsys.readouterr().out


def test_letters_of_any_script_stay_letters(capsys: pytest.CaptureFixture[str]) -> None:
    by_table("Bäckerei 東京 кафе")
    assert "Bäckerei 東京 кафе" in capsys.readouterr().out
