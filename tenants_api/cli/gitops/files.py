"""Files of tenants: YAML or NDJSON, read strictly, one document at a time.

Refused are texts that two parsers could read differently: duplicate keys, anchors and aliases (a few lines can expand
to gigabytes), tags, and plain values that differ between YAML 1.1 and 1.2 (`no`, `1e3`, `0o17`, `12:30`, dates).
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import yaml

from tenants_api.encoding.strict_json import parse_json

MAX_DOCUMENT_BYTES = 2 * 1024 * 1024  # far above the registry's own bounds

_BYTE_ORDER_MARKS = (
    codecs.BOM_UTF32_LE,
    codecs.BOM_UTF32_BE,
    codecs.BOM_UTF8,
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A document that begins at `line`: its value, or the `fault` for which it is refused."""

    line: int
    value: Any = None
    fault: str | None = None


class Peekable(Protocol):
    """A buffered binary stream."""

    def read(self, size: int, /) -> bytes: ...

    def readline(self, size: int, /) -> bytes: ...

    def peek(self, size: int, /) -> bytes: ...


def has_byte_order_mark(start: bytes) -> bool:
    """Whether a text begins with a byte order mark of UTF-8, UTF-16 or UTF-32."""
    return start.startswith(_BYTE_ORDER_MARKS)


NOT_UTF8 = "the file has a byte order mark or zero bytes; expected UTF-8 without them: save it as UTF-8"
TOO_LARGE = f"the document is larger than {MAX_DOCUMENT_BYTES // 1024} KiB, the maximum"


def read_ndjson(stream: Peekable) -> Iterator[Entry]:
    """The entry of each line that is not blank; reading continues after a malformed line."""
    number = 0
    while raw := stream.readline(MAX_DOCUMENT_BYTES + 1):
        number += 1
        if number == 1 and (has_byte_order_mark(raw) or b"\0" in raw):
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
        return Entry(number, fault=f"not valid JSON: {error}; expected one whole tenant a line")


def _skip_line(stream: Peekable) -> None:
    while (raw := stream.readline(MAX_DOCUMENT_BYTES)) and not raw.endswith(b"\n"):
        pass


MAX_DOCUMENT_DEPTH = 32  # a tenant's metadata may have 20 levels

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, if PyYAML has it, is ten times as fast
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_STRING = "tag:yaml.org,2002:str"
_PLAIN_VALUES = {"": None, "~": None, "null": None, "true": True, "false": False}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,39})", re.ASCII)
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?", re.ASCII)
# Values that are texts in YAML 1.1 of PyYAML, and numbers in the core schema of YAML 1.2.
_NOT_TEXT_IN_YAML_12 = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII
)


class _UnsupportedYaml(Exception):
    """A document is YAML, but uses a feature that is not supported."""

    def __init__(self, fault: str, *, line: int) -> None:
        super().__init__(fault)
        self.line = line + 1


class _DocumentTooLarge(Exception):
    pass


class _BoundedStream:
    """A stream that raises `_DocumentTooLarge` for a document above the maximum."""

    def __init__(self, stream: Peekable) -> None:
        self._stream = stream
        self.size_read = 0

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self.size_read += len(data)
        if self.size_read > MAX_DOCUMENT_BYTES + size:
            raise _DocumentTooLarge
        return data


def read_yaml(stream: Peekable) -> Iterator[Entry]:
    """The entry of each document that is not empty; reading ends at a syntax error."""
    if has_byte_order_mark(stream.peek(4)[:4]):
        yield Entry(1, fault=NOT_UTF8)
        return
    counted: Any = _BoundedStream(stream)
    events: Iterator[Any] = yaml.parse(counted, Loader=_LOADER)
    line = 0
    try:
        for event in events:
            line = event.start_mark.line
            if isinstance(event, yaml.DocumentStartEvent):
                counted.size_read = 0
                entry = _document(events)
                if entry.value is not None or entry.fault:
                    yield entry
    except _DocumentTooLarge:
        yield Entry(line + 1, fault=TOO_LARGE)
    except yaml.YAMLError as error:
        yield _broken(error, line=line)


def write_yaml(value: Any) -> bytes:
    """A document with its `---`, in UTF-8."""
    text: bytes = yaml.dump(
        value, Dumper=_Writer, encoding="utf-8", allow_unicode=True, explicit_start=True, sort_keys=False, width=10_000
    )
    return text


def _document(events: Iterator[Any]) -> Entry:
    first = next(events)
    line = first.start_mark.line + 1
    try:
        return Entry(line, _node(first, events, depth=1))
    except _UnsupportedYaml as refused:
        for event in events:
            if isinstance(event, yaml.DocumentEndEvent):
                break
        return Entry(refused.line, fault=str(refused))


def _node(event: Any, events: Iterator[Any], *, depth: int) -> Any:
    line = event.start_mark.line
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise _UnsupportedYaml("anchors and aliases are not supported: write the value out", line=line)
    if event.tag is not None and event.tag != "!":
        raise _UnsupportedYaml(f"the tag {event.tag[:40]!r} is not supported: remove it", line=line)
    if depth > MAX_DOCUMENT_DEPTH:
        raise _UnsupportedYaml(f"nested deeper than {MAX_DOCUMENT_DEPTH} levels, the maximum", line=line)
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
            raise _UnsupportedYaml(
                f"the key {str(name)[:40]} is not a text: put it in quotes", line=event.start_mark.line
            )
        if name in members:
            raise _UnsupportedYaml(f"duplicate key {name[:40]!r}", line=event.start_mark.line)
        members[name] = _node(next(events), events, depth=depth + 1)
    return members


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.style or event.tag == "!":
        return text
    if text in _PLAIN_VALUES:
        return _PLAIN_VALUES[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _is_ambiguous(text):
        raise _UnsupportedYaml(
            f"{text[:40]!r} means different values in YAML 1.1 and 1.2: put it in quotes if it is a text",
            line=event.start_mark.line,
        )
    return text


def _is_ambiguous(text: str) -> bool:
    return _RESOLVER.resolve(yaml.ScalarNode, text, (True, False)) != _STRING or bool(
        _NOT_TEXT_IN_YAML_12.fullmatch(text)
    )


_RESOLVER: Any = yaml.resolver.Resolver()  # PyYAML's table of YAML 1.1


def _broken(error: yaml.YAMLError, *, line: int) -> Entry:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    reason = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
    return Entry((mark.line if mark else line) + 1, fault=f"not valid YAML in UTF-8: {reason}")


class _Writer(_DUMPER):  # type: ignore[misc]  # one of PyYAML's two, chosen at run time
    """PyYAML's dumper; quotes texts that are numbers in YAML 1.2, and writes lines of a text as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _write_text(writer: Any, text: str) -> Any:
    style = "|" if "\n" in text else '"' if _NOT_TEXT_IN_YAML_12.fullmatch(text) else None
    return writer.represent_scalar(_STRING, text, style=style)


_Writer.add_representer(str, _write_text)
