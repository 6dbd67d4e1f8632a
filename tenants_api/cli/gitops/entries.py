"""What a reader of files gives: one value after the other, each with its line, or why it cannot be read."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Any, Protocol

LARGEST = 2 * 1024 * 1024  # bytes of one document; the registry's own bounds are far below

_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Entry:
    """A document that begins at `line`: its value, or the `fault` that keeps it from being read."""

    line: int
    value: Any = None
    fault: str | None = None


class Peekable(Protocol):
    """A buffered binary stream."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int, /) -> bytes: ...

    def peek(self, size: int, /) -> bytes: ...


def has_mark(start: bytes) -> bool:
    """Whether a text begins with a byte order mark: it was saved in another encoding, or by a tool that adds one."""
    return start.startswith(_MARKS)


NOT_UTF8 = "the file is not plain UTF-8 (a byte order mark, or zero bytes as in UTF-16): save it as UTF-8"
TOO_LARGE = f"the document is over {LARGEST // 1024} KiB"
