"""Import: every document of a file is read and checked before the plan. Export: every tenant as a document."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from tenants_api.cli.exits import USAGE, CliError
from tenants_api.cli.gitops.documents import document, line, read_document
from tenants_api.cli.gitops.files import Entry, Peekable, read_ndjson, read_yaml, write_yaml
from tenants_api.cli.gitops.plan import PlanStore
from tenants_api.cli.session import services
from tenants_api.control.drafts import Vocabulary, registered_tenant
from tenants_api.database.engine import Database
from tenants_api.errors import ApiError
from tenants_api.registry.repository import living_tenants
from tenants_api.registry.values import RealmDraft

# Raises an ApiError for realms that every command refuses.
Refuse = Callable[[Sequence[RealmDraft]], None]
MAX_FAULTS = 20  # reported; a file in another format has one a line


class Format(StrEnum):
    """The format of a file of tenants."""

    YAML = "yaml"
    NDJSON = "ndjson"


@dataclass(frozen=True, slots=True)
class Fault:
    """The reason for which a document is refused."""

    line: int
    reason: str


class Counting(io.RawIOBase):
    """A binary stream that reports the bytes read, for a progress bar."""

    def __init__(self, stream: BinaryIO, *, on_read: Callable[[int], None]) -> None:
        self._stream, self._on_read = stream, on_read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is wider
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._on_read(len(data))
        return len(data)


@contextmanager
def opened(path: str) -> Iterator[BinaryIO]:
    """The file, or stdin for `-`.

    Raises:
        CliError: it cannot be opened.
    """
    if path == "-":
        yield sys.stdin.buffer
        return
    if not os.access(path, os.R_OK) or not Path(path).is_file():
        raise CliError(f"cannot read {path}: it does not exist, or is not a readable file", code=USAGE)
    with Path(path).open("rb") as stream:
        yield stream


def import_documents(
    stream: Peekable, *, of: Format | None, plan_store: PlanStore, vocabulary: Vocabulary, refuse: Refuse
) -> list[Fault]:
    """Read all documents into the plan store; returns the faults found, and stops after `MAX_FAULTS`."""
    faults: list[Fault] = []
    entries = read_ndjson(stream) if (of or guess(stream)) is Format.NDJSON else read_yaml(stream)
    for entry in entries:
        faults += _import_document(entry, plan_store=plan_store, vocabulary=vocabulary, refuse=refuse)
        if len(faults) >= MAX_FAULTS:
            return faults[:MAX_FAULTS]
    return faults


def guess(stream: Peekable) -> Format:
    """The format by the first byte that is not a space: NDJSON begins with a brace, YAML rarely does."""
    return Format.NDJSON if stream.peek(4096).lstrip()[:1] in (b"{", b"[") else Format.YAML


def format_of(path: str) -> Format | None:
    """The format by the name of the file; None if `guess` has to decide."""
    endings = {".yaml": Format.YAML, ".yml": Format.YAML, ".ndjson": Format.NDJSON, ".jsonl": Format.NDJSON}
    return endings.get(Path(path).suffix.lower())


def _import_document(entry: Entry, *, plan_store: PlanStore, vocabulary: Vocabulary, refuse: Refuse) -> list[Fault]:
    if entry.fault is not None:
        return [Fault(entry.line, entry.fault)]
    try:
        desired = read_document(entry.value, vocabulary=vocabulary)
        refuse(desired.draft.realms)
    except ApiError as refused:
        reasons = [f"{error.pointer}: {error.detail}" if error.pointer else error.detail for error in refused.errors]
        return [Fault(entry.line, reason) for reason in reasons or [refused.detail]]
    return [Fault(entry.line, reason) for reason in plan_store.add(desired, at=entry.line)]


async def export_tenants(output: Path | None, *, of: Format) -> None:
    """Export to stdout, or to a file, which is replaced only when it is complete."""
    async with services(load=False) as opened:
        if output is None:
            async for text in exported(opened.database, of=of):
                sys.stdout.buffer.write(text)
            sys.stdout.buffer.flush()
            return
        partial = output.with_name(output.name + ".part")
        with partial.open("wb") as stream:
            async for text in exported(opened.database, of=of):
                stream.write(text)
        os.replace(partial, output)


async def exported(database: Database, *, of: Format) -> AsyncIterator[bytes]:
    """Every tenant that is not deleted, by slug, as a document."""
    async with database.read() as session:
        if database.is_postgresql:
            # One snapshot for all queries, as in a read transaction of SQLite.
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        async for tenants in living_tenants(session):
            for tenant in tenants:
                value = document(registered_tenant(tenant), state=tenant.state)
                yield write_yaml(value) if of is Format.YAML else f"{line(value)}\n".encode()
