"""YAML: many documents in one file, read one at a time, and strictly.

What two readers could read in two ways is refused: duplicate keys, anchors and aliases (a few lines of them expand to
gigabytes), tags, and plain words that YAML 1.1 and 1.2 disagree about (`no`, `1e3`, `0o17`, `12:30`, dates).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from tenants_api.encoding.strict_json import parse_json

MAX_DOCUMENT_BYTES = 2 * 1024 * 1024  # bytes of one document; the registry's own bounds are far below

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
TOO_LARGE = f"the document is over {MAX_DOCUMENT_BYTES // 1024} KiB"


def read_ndjson(stream: Peekable) -> Iterator[Entry]:
    """Each line that is not blank. A broken line does not end the reading: all broken ones are worth telling."""
    number = 0
    while raw := stream.readline(MAX_DOCUMENT_BYTES + 1):
        number += 1
        if number == 1 and (has_mark(raw) or b"\0" in raw):
            yield Entry(number, fault=NOT_UTF8)
            return
        if len(raw) > MAX_DOCUMENT_BYTES:
            yield Entry(number, fault=TOO_LARGE)
            _skip_line(stream)
        elif raw.strip():
            yield _entry(number, raw)


def _entry(number: int, raw: bytes) -> Entry:
    try:
        return Entry(number, parse_json(raw))
    except UnicodeDecodeError as error:
        return Entry(number, fault=f"not UTF-8: byte 0x{raw[error.start]:02x} at column {error.start + 1}")
    except ValueError as error:
        return Entry(number, fault=f"not strict JSON: {error}; each line must be one whole tenant")


def _skip_line(stream: Peekable) -> None:
    while (raw := stream.readline(MAX_DOCUMENT_BYTES)) and not raw.endswith(b"\n"):
        pass


MAX_DOCUMENT_DEPTH = 32  # levels; a tenant's metadata may have 20

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where PyYAML was built with it: ten times as fast
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_STRING = "tag:yaml.org,2002:str"
_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,39})", re.ASCII)
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?", re.ASCII)
# Everything that is more than a word in YAML 1.2's core schema, and not in YAML 1.1 as PyYAML has it.
_MORE_IN_12 = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)


class _Refused(Exception):
    """A document is well-formed YAML, but not of the kind that is read here."""

    def __init__(self, fault: str, *, line: int) -> None:
        super().__init__(fault)
        self.line = line + 1


class _TooLarge(Exception):
    pass


class _Counted:
    """The stream, with a bound on what one document may take."""

    def __init__(self, stream: Peekable) -> None:
        self._stream = stream
        self.taken = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.taken += len(data)
        if self.taken > MAX_DOCUMENT_BYTES + size:
            raise _TooLarge
        return data


def read_yaml(stream: Peekable) -> Iterator[Entry]:
    """Each document that is not empty. Broken syntax ends the reading: nobody can tell where the next begins."""
    if has_mark(stream.peek(4)[:4]):
        yield Entry(1, fault=NOT_UTF8)
        return
    counted: Any = _Counted(stream)
    events: Iterator[Any] = yaml.parse(counted, Loader=_LOADER)
    line = 0
    try:
        for event in events:
            line = event.start_mark.line
            if isinstance(event, yaml.DocumentStartEvent):
                counted.taken = 0
                entry = _document(events)
                if entry.value is not None or entry.fault:
                    yield entry
    except _TooLarge:
        yield Entry(line + 1, fault=TOO_LARGE)
    except yaml.YAMLError as error:
        yield _broken(error, line=line)


def write_yaml(value: Any) -> bytes:
    """One document with its `---`, in UTF-8."""
    text: bytes = yaml.dump(
        value, Dumper=_Writer, encoding="utf-8", allow_unicode=True, explicit_start=True, sort_keys=False, width=10_000
    )
    return text


def _document(events: Iterator[Any]) -> Entry:
    first = next(events)
    line = first.start_mark.line + 1
    try:
        return Entry(line, _node(first, events, depth=1))
    except _Refused as refused:
        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                break
        return Entry(refused.line, fault=str(refused))


def _node(event: Any, events: Iterator[Any], *, depth: int) -> Any:
    line = event.start_mark.line
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise _Refused("anchors and aliases are not read: write the value out", line=line)
    if event.tag is not None and event.tag != "!":
        raise _Refused(f"the tag {event.tag[:40]!r} is not read", line=line)
    if depth > MAX_DOCUMENT_DEPTH:
        raise _Refused(f"nested deeper than {MAX_DOCUMENT_DEPTH} levels", line=line)
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event)
    if isinstance(event, yaml.SequenceStartEvent):
        return _sequence(events, depth=depth)
    return _mapping(events, depth=depth)


def _sequence(events: Iterator[Any], *, depth: int) -> list[Any]:
    items = []
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        items.append(_node(event, events, depth=depth + 1))
    return items


def _mapping(events: Iterator[Any], *, depth: int) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        name = _node(event, events, depth=depth + 1)
        if not isinstance(name, str):
            raise _Refused("a key must be a text", line=event.start_mark.line)
        if name in members:
            raise _Refused(f"the key {name[:40]!r} stands here twice", line=event.start_mark.line)
        members[name] = _node(next(events), events, depth=depth + 1)
    return members


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.style or event.tag == "!":
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _is_ambiguous(text):
        raise _Refused(
            f"{text[:40]!r} is read in two ways by different readers of YAML: put it in quotes if it is a text",
            line=event.start_mark.line,
        )
    return text


def _is_ambiguous(text: str) -> bool:
    return _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) != _STRING or bool(_MORE_IN_12.fullmatch(text))


_RESOLVER: Any = yaml.resolver.Resolver()  # PyYAML's own table of YAML 1.1


def _broken(error: yaml.YAMLError, *, line: int) -> Entry:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
    return Entry((mark.line if mark else line) + 1, fault=f"not YAML in UTF-8: {reason}")


class _Writer(_DUMPER):  # type: ignore[misc]  # which of PyYAML's two it is, is known at run time only
    """PyYAML's dumper, that quotes what other readers would not take for a text, and keeps lines as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(writer: Any, text: str) -> Any:
    style = "|" if "\n" in text else '"' if _MORE_IN_12.fullmatch(text) else None
    return writer.represent_scalar(_STRING, text, style=style)


_Writer.add_representer(str, _write_text)
