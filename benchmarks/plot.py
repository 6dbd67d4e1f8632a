"""An SVG of bars, for light and dark pages: the part of its bound that each figure uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

LABEL_WIDTH, BOUND_WIDTH, WIDTH = 440, 320, 960  # all in pixels
LINE_HEIGHT, TOP, MAX_PART = 22, 34, 1.25  # a longer bar is cut at this part of its bound
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
    """A figure: `used` is the part of its bound that it uses, `reach` the part of its target."""

    label: str
    shown: str
    used: float
    reach: float | None = None


def plot_of(bars: Sequence[Bar]) -> str:
    """The image."""
    height = TOP + LINE_HEIGHT * len(bars) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>Each figure as a part of its bound: shorter is better, beyond the line the bound is exceeded</title>",
        f"<style>{STYLE}</style>",
        f'<text x="{LABEL_WIDTH + BOUND_WIDTH}" y="14" text-anchor="middle">bound</text>',
    ]
    for number, bar in enumerate(bars):
        parts += _bar(bar, y=TOP + LINE_HEIGHT * number)
    parts += [_tick(1.0, kind="must", y=20, end=height - 4), "</svg>"]
    return "\n".join(parts) + "\n"


def _bar(bar: Bar, *, y: int) -> list[str]:
    kind = "kept" if bar.used <= 1 else "broken"
    lines = [
        f'<text x="{LABEL_WIDTH - 8}" y="{y + 11}" text-anchor="end">{escape(bar.label)}</text>',
        f'<rect class="rail" x="{LABEL_WIDTH}" y="{y}" width="{BOUND_WIDTH}" height="14" rx="2"/>',
        f'<rect class="{kind}" x="{LABEL_WIDTH}" y="{y}" width="{_length(bar.used):.1f}" height="14" rx="2"/>',
        f'<text x="{LABEL_WIDTH + BOUND_WIDTH * MAX_PART + 8:.0f}" y="{y + 11}">{escape(bar.shown)}</text>',
    ]
    return lines if bar.reach is None else [*lines, _tick(bar.reach, kind="reach", y=y - 2, end=y + 16)]


def _tick(part: float, *, kind: str, y: int, end: int) -> str:
    x = LABEL_WIDTH + _length(part)
    return f'<line class="{kind}" x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{end}"/>'


def _length(part: float) -> float:
    return BOUND_WIDTH * min(part, MAX_PART)
