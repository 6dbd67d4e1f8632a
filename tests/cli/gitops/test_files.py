"""Files that are broken or hostile: the line and the reason, flat memory, and nothing half-applied."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tenants_api.cli.gitops.files import (
    MAX_DOCUMENT_BYTES,
    MAX_DOCUMENT_DEPTH,
    Entry,
    read_ndjson,
    read_yaml,
    write_yaml,
)
from tenants_api.cli.gitops.plan import PlanStore
from tenants_api.cli.gitops.transfer import MAX_FAULTS, Format, import_documents
from tenants_api.control.drafts import Vocabulary
from tenants_api.outbound.targets import target_policy
from tests.cli.conftest import Cli
from tests.cli.gitops.conftest import lines, ndjson, realm, slugs, tenant

Write = Callable[..., str]
GOOD = ndjson(tenant("good")).encode()
YAML_GOOD = b"slug: good\nname: Good\n"
BILLION = b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"

# (format, second document, line of the fault, a word of the reason)
BROKEN = {
    "cut off": ("ndjson", b'{"slug": "bad", "name"', 2, "not valid JSON"),
    "unknown member": ("ndjson", ndjson(tenant("bad", nmae="x")).encode(), 2, "/nmae"),
    "unknown member of a realm": ("ndjson", ndjson(tenant("bad", realms=[realm("b", x=1)])).encode(), 2, "/realms/0/x"),
    "no tenant": ("ndjson", b"[1]\n", 2, "expected a tenant"),
    "wrong type": ("ndjson", ndjson(tenant("bad", name=1)).encode(), 2, "/name"),
    "unknown role": (
        "ndjson", ndjson(tenant("bad", role_mapping=[{"from": "realm", "value": "x", "role": "king"}])).encode(), 2,
        "/role_mapping/0/role",
    ),
    "NaN": ("ndjson", b'{"slug": "bad", "name": "Bad", "metadata": {"x": NaN}}\n', 2, "NaN"),
    "too large a number": ("ndjson", b'{"slug": "bad", "name": "Bad", "metadata": {"x": 1e400}}\n', 2, "/metadata"),
    "duplicate member": ("ndjson", b'{"slug": "bad", "slug": "worse", "name": "Bad"}\n', 2, "duplicate"),
    "deep nesting": ("ndjson", b'{"slug": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", 2, "deep"),
    "deep metadata": (
        "ndjson", b'{"slug": "bad", "name": "Bad", "metadata": {"x": ' + b"[" * 30 + b"]" * 30 + b"}}\n", 2, "nested",
    ),
    "Latin-1": ("ndjson", '{"slug": "bad", "name": "Zürich"}\n'.encode("latin-1"), 2, "not UTF-8: byte 0xfc"),
    "lone surrogate": ("ndjson", b'{"slug": "bad", "name": "\\ud800"}\n', 2, "surrogate"),
    "same slug": ("ndjson", ndjson(tenant("good", realms=[])).encode(), 2, "duplicate slug 'good': line 1"),
    "same issuer": ("ndjson", ndjson(tenant("bad", realms=[realm("good")])).encode(), 2, "duplicate issuer"),
    "plain http": (
        "ndjson", ndjson(tenant("bad", realms=[{"issuer": "http://x.example/realms/b", "client_id": "c"}])).encode(), 2,
        "SchemeNotHttps",
    ),
    "YAML syntax": ("yaml", b"---\nslug: [bad\nname: x\n", 5, "not valid YAML"),
    "YAML Latin-1": ("yaml", "---\nslug: bad\nname: Zürich\n".encode("latin-1"), 1, "UTF-8"),
    "YAML aliases": ("yaml", b"---\nslug: bad\nname: Bad\nmetadata: &m {x: *m}\n", 6, "aliases"),
    "YAML bomb": ("yaml", b"---\n" + BILLION, 4, "aliases"),
    "YAML tag": ("yaml", b"---\nslug: !!python/object/apply:os.system [id]\n", 4, "tag"),
    "YAML duplicate key": ("yaml", b"---\nslug: bad\nslug: worse\n", 5, "duplicate"),
    "YAML key that is no text": ("yaml", b"---\n1: bad\n", 4, "is not a text"),
    "YAML NaN": ("yaml", b"---\nslug: bad\nname: Bad\nmetadata: {x: .nan}\n", 6, "different values"),
    "YAML deep nesting": ("yaml", b"---\nslug: " + b"[" * 500 + b"]" * 500 + b"\n", 4, "deeper"),
    "YAML list": ("yaml", b"---\n- slug: bad\n", 4, "expected a tenant"),
    "YAML unknown key": ("yaml", b"---\nslug: bad\nname: Bad\nnmae: x\n", 4, "/nmae"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_document_is_told_by_line_and_reason(name: str) -> None:
    kind, bad, line, word = BROKEN[name]
    faults = taken((YAML_GOOD if kind == "yaml" else GOOD) + bad, of=Format(kind))
    assert [fault.line for fault in faults] == [line], faults
    assert word in faults[0].reason


def test_broken_file_changes_nothing_and_every_fault_is_told(cli: Cli, write: Write) -> None:
    content = GOOD + b"{\n" + ndjson(tenant("fine")).encode() + b'{"slug": "-", "name": "x"}\n'
    said = cli("tenants", "apply", "-f", write(content), "--activate", "unchecked", "--json")
    assert said.code == 2
    assert [one["line"] for one in lines(said.out)] == [2, 4]
    assert "line 2:" in said.talk
    assert "line 4: /slug" in said.talk
    assert slugs(cli) == set()


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp037"])
@pytest.mark.parametrize("of", list(Format))
def test_foreign_encoding_is_named_and_read_no_further(of: Format, codec: str) -> None:
    text = GOOD.decode() if of is Format.NDJSON else YAML_GOOD.decode()
    (fault,) = taken(text.encode(codec), of=of)
    assert fault.line == 1
    assert any(word in fault.reason for word in ("UTF-8", "not valid JSON", "expected a tenant"))


def test_reading_ends_after_a_score_of_faults() -> None:
    assert len(taken(b"no json\n" * 10_000, of=Format.NDJSON)) == MAX_FAULTS


def test_json_that_is_no_ndjson_is_told_by_its_first_line() -> None:
    faults = taken(json.dumps(tenant("acme"), indent=2).encode(), of=None)
    assert faults[0].line == 1
    assert "one whole tenant" in faults[0].reason


@pytest.mark.parametrize("of", list(Format))
def test_endless_document_is_refused_after_its_bound(of: Format) -> None:
    endless = Endless(
        b'{"slug": "' if of is Format.NDJSON else b"slug: ", b"a" * 4096, times=40 * MAX_DOCUMENT_BYTES // 4096
    )
    faults = taken_from(io.BufferedReader(endless), of=of)
    assert "larger than 2048 KiB" in faults[0].reason
    assert len(faults) == 1
    if of is Format.YAML:
        assert endless.given < 2 * MAX_DOCUMENT_BYTES


@pytest.mark.parametrize("of", list(Format))
def test_size_of_the_file_does_not_matter(of: Format) -> None:
    """Sixteen times as many tenants take no more memory: so a gigabyte takes none either."""
    read = read_ndjson if of is Format.NDJSON else read_yaml
    peaks = [peak_of(lambda count=count: drained(read(stream_of(count, of=of)))) for count in (200, 3200)]
    assert peaks[1] < peaks[0] * 1.5 + 100_000


def test_workbench_holds_the_file_on_disk() -> None:
    def fill(count: int) -> None:
        plan_store = PlanStore()
        try:
            stream = stream_of(count, of=Format.NDJSON)
            assert (
                import_documents(
                    stream, of=Format.NDJSON, plan_store=plan_store, vocabulary=VOCABULARY, refuse=lambda wanted: None
                )
                == []
            )
            assert sum(len(steps) for steps in plan_store.batches(100)) == count
        finally:
            plan_store.close()

    fill(50)  # what is made once, pydantic's validators above all, counts for neither
    assert peak_of(lambda: fill(1600)) < peak_of(lambda: fill(100)) * 1.5 + 200_000


HARD_TEXTS = [
    "no", "NO", "on", "y", "~", "", "null", "true", "1", "-1", "1.0", "1e3", "1.5e3", ".5", "0o17", "0x1f", "017",
    "1_000",
    "12:30", "12:30:45", "2001-01-01", "2001-01-01T00:00:00Z", ".nan", ".inf", "-.Inf", "=", "<<", "- a", "a: b", "#c",
    "a #b", "'", '"', "*a", "&a", "!t", "%d", "@x", "`x", "{", "[", " lead", "trail ", "two\nlines\n", "no end\nof it",
    "\nfirst", "tab\there", "ünïcode 漢字 🙂", "\u2028", "\x85", "---", "...",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END-----\n",
    "1.", "+1", "+1.0", "0.1e-7", "1e400", "9" * 50,
]  # fmt: skip


@pytest.mark.parametrize("text", HARD_TEXTS)
def test_every_text_comes_back_out_of_yaml_as_it_went_in(text: str) -> None:
    assert entries(write_yaml({"metadata": {"x": text, text: [text]}})) == [{"metadata": {"x": text, text: [text]}}]


@pytest.mark.parametrize(
    "value", [0, -7, 1.5, 1e20, 1e-7, 1.0, -0.5, 2**80, True, False, None, [], {}, [[1], {"a": None}]]
)
def test_every_value_comes_back_out_of_yaml_with_its_kind(value: Any) -> None:
    (found,) = entries(write_yaml({"metadata": {"x": value}}))
    assert json.dumps(found) == json.dumps({"metadata": {"x": value}})


def test_words_that_readers_of_yaml_disagree_about_are_refused_unless_quoted() -> None:
    for word in ("no", "1e3", "0o17", "0x1f", "012", "12:30:45", "2001-01-01", "1_000", ".inf"):
        (entry,) = read_yaml(stream(f"a: {word}\n".encode()))
        assert "different values" in str(entry.fault), word
        assert entries(f"a: '{word}'\n".encode()) == [{"a": word}]


def test_document_within_the_bound_of_depth_is_read() -> None:
    deep = b"[" * (MAX_DOCUMENT_DEPTH - 2) + b"]" * (MAX_DOCUMENT_DEPTH - 2)
    assert len(entries(b"a: " + deep)) == 1


VOCABULARY = Vocabulary(
    target_policy(insecure_http_hosts=(), allowed_private_networks=(), allowed_ports=(443,)), frozenset({"admin"})
)


class Endless(io.RawIOBase):
    """A beginning and then the same for ever, or nearly."""

    def __init__(self, start: bytes, part: bytes, *, times: int) -> None:
        self._start, self._part, self._times, self.given = start, part, times, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part, self._start = self._start or self._part, b""
        if self._times <= 0:
            return 0
        self._times -= 1
        buffer[: len(part)] = part
        self.given += len(part)
        return len(part)


def stream(data: bytes) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]


def stream_of(count: int, *, of: Format) -> io.BufferedReader:
    return io.BufferedReader(Generated(document(n, of=of) for n in range(count)), 8192)


def document(n: int, *, of: Format) -> bytes:
    value = tenant(f"t{n}", metadata={"x": "y" * 500})
    return ndjson(value).encode() if of is Format.NDJSON else write_yaml(value)


class Generated(io.RawIOBase):
    """Documents that are made while they are read, so that they take no memory themselves."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._rest or next(self._parts, b"")
        self._rest = data[len(buffer) :]
        data = data[: len(buffer)]
        buffer[: len(data)] = data
        return len(data)


def taken(data: bytes, *, of: Format | None) -> list[Any]:
    return taken_from(stream(data), of=of)


def taken_from(source: io.BufferedReader, *, of: Format | None) -> list[Any]:
    plan_store = PlanStore()
    try:
        return import_documents(source, of=of, plan_store=plan_store, vocabulary=VOCABULARY, refuse=lambda wanted: None)
    finally:
        plan_store.close()


def entries(data: bytes) -> list[Any]:
    found = list(read_yaml(stream(data)))
    assert [entry.fault for entry in found if entry.fault] == []
    return [entry.value for entry in found]


def drained(found: Iterator[Entry]) -> None:
    assert all(entry.fault is None for entry in found)


def peak_of(work: Callable[[], None]) -> int:
    """Bytes that Python held at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
