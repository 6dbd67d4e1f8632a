"""Writes the tables in docs/performance.md and docs/operations.md, and the plot, from results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.plot import Bar, plot_of
from benchmarks.report import LEAST, MOST
from benchmarks.rows import Row

DOCS = Path(__file__).parents[1] / "docs"
OPERATORS = ("suspension", "isolation", "scale", "loading")
BEGIN, END = "<!-- measured by scripts/bench -->\n", "<!-- end -->\n"


def write_page(results: Mapping[str, Any], *, rows: Sequence[Row]) -> None:
    """Write the parts of both pages between their marks, and the plot."""
    _put(DOCS / "performance.md", page_of(results, rows=rows))
    of_operators = {module: result for module, result in results.items() if module in OPERATORS}
    _put(DOCS / "operations.md", page_of(of_operators, rows=[row for row in rows if row.module in OPERATORS]))
    (DOCS / "performance.svg").write_text(plot_of(bars_of(results, rows=rows)), encoding="utf-8")


def _put(page: Path, text: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(before + BEGIN + text + END + rest.partition(END)[2], encoding="utf-8")


def bars_of(results: Mapping[str, Any], *, rows: Sequence[Row]) -> list[Bar]:
    """A bar for each measured figure."""
    values = ((row, results.get(row.module, {}).get("found", {}).get(row.name)) for row in rows)
    return [
        Bar(
            row.what.replace("`", ""),
            shown=f"{value:.3g} ({'≥' if row.at_least else '≤'} {row.must:g})",
            used=row.used(value),
            reach=None if row.reach is None else row.used(row.reach),
        )
        for row, value in values
        if value is not None
    ]


def spread_of(found: Mapping[str, float], *, name: str) -> str:
    """The minimum and maximum of the rounds, if they are known."""
    least, most = found.get(f"{name}, {LEAST}"), found.get(f"{name}, {MOST}")
    return f" ({least:.3g} to {most:.3g})" if least is not None and most is not None else ""


def page_of(results: Mapping[str, Any], *, rows: Sequence[Row]) -> str:
    """The table of all figures, and all other values."""
    lines = ["| figure | must | reach | measured | met | command |", "|---|---|---|---|---|---|"]
    for row in rows:
        found = results.get(row.module, {}).get("found", {})
        sign = "≥" if row.at_least else "≤"
        reach = f"{sign} {row.reach:g}" if row.reach is not None else ""
        value = found.get(row.name)
        if value is None:
            shown, met = "not measured", ""
        else:
            shown = f"{value:.3g}{spread_of(found, name=row.name)}"
            bound = "yes" if row.met(value, bound=row.must) else "**no**"
            met = "reached" if row.met(value, bound=row.reach) else bound
        command = f"`python -m benchmarks.{row.module}`"
        lines.append(f"| {row.what} | {sign} {row.must:g} | {reach} | {shown} | {met} | {command} |")
    lines += ["", "| run | on | took | machine |", "|---|---|---|---|"]
    for module, result in results.items():
        lines.append(f"| `{module}` | {result['on']} | {result['seconds']:.0f} s | {result['machine']} |")
    lines += ["", "All values:", ""]
    for module, result in results.items():
        found = ", ".join(f"{name} {value:,.4g}" for name, value in result["found"].items())
        lines.append(f"- `{module}`: {found}")
    return "\n".join(lines) + "\n"
