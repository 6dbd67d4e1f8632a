"""Bars as an SVG, readable on light and on dark: how much of its bound each figure uses up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

LABELS, SCALE, WIDTH = 440, 320, 960  # where the bars begin, how long one bound is, and the whole
LINE, TOP, LONGEST = 22, 34, 1.25  # of a bar beyond its bound this much is drawn
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .kept { fill: #2da44e } .broken { fill: #cf222e } .rail { fill: #eaeef2 }
  .must { stroke: #57606a; stroke-width: 1.5 } .reach { stroke: #0969da; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .rail { fill: #21262d } .must { stroke: #9198a1 } .reach { stroke: #58a6ff }
  }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure: `used` is the part of its bound that it takes, `reach` the part that it should take at most."""

    label: str
    shown: str
    used: float
    reach: float | None = None


def plot_of(bars: Sequence[Bar]) -> str:
    """The whole image."""
    height = TOP + LINE * len(bars) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>Each figure as a part of its bound: shorter is better, beyond the line is not kept</title>",
        f"<style>{STYLE}</style>",
        f'<text x="{LABELS + SCALE}" y="14" text-anchor="middle">bound</text>',
    ]
    for number, bar in enumerate(bars):
        parts += _bar(bar, y=TOP + LINE * number)
    parts += [_tick(1.0, kind="must", y=20, end=height - 4), "</svg>"]
    return "\n".join(parts) + "\n"


def _bar(bar: Bar, *, y: int) -> list[str]:
    kind = "kept" if bar.used <= 1 else "broken"
    lines = [
        f'<text x="{LABELS - 8}" y="{y + 11}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect class="rail" x="{LABELS}" y="{y}" width="{SCALE}" height="14" rx="2"/>',
        f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{_length(bar.used):.1f}" height="14" rx="2"/>',
        f'<text x="{LABELS + SCALE * LONGEST + 8:.0f}" y="{y + 11}">{escape(bar.shown)}</text>',
    ]
    return lines if bar.reach is None else [*lines, _tick(bar.reach, kind="reach", y=y - 2, end=y + 16)]


def _tick(part: float, *, kind: str, y: int, end: int) -> str:
    x = LABELS + _length(part)
    return f'<line class="{kind}" x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{end}"/>'


def _length(part: float) -> float:
    return SCALE * min(part, LONGEST)
