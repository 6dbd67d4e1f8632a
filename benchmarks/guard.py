"""Compares counts of the hot paths with a baseline: a request without its route, a cached token, a verification.

    scripts/bench --guard [--write] [--instructions]

Counted are the function calls of one pass (of Python and C, by sys.setprofile), the blocks that stay allocated and the
peak of allocated bytes. No clock is read, so other load changes nothing. The baseline is benchmarks/baseline.json for
the minor version of this Python: 10 % more fails with exit code 1. `--write` stores the counts as the baseline.
`--instructions` adds instructions of the CPU, by callgrind of valgrind: it takes minutes, and the counts depend on the
CPU, so they are printed and not compared.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType, SimpleNamespace
from typing import Any

from starlette.requests import HTTPConnection

from benchmarks.verification import Kind
from tenants_api.observability.metrics import Metrics
from tenants_api.tokens.credentials import BEARER, Credential
from tenants_api.web.dependencies import principal_of
from tenants_api.web.middleware import RequestContext

BASELINE = Path(__file__).with_name("baseline.json")
OLDEST = "3.11"
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
TOLERANCE, MIN_TOLERATED_COUNT = 1.10, 20  # a smaller count may not grow at all
REPEATS = 20
ROOT = Path(__file__).parents[1]
Pass = Callable[[bytes], Awaitable[None]]  # of a token as it is in the header


async def _nothing(*_: Any) -> None:
    """`receive` and `send` of a connection."""


async def _answer(scope: Any, receive: Any, send: Any) -> None:
    """The application behind the middleware."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"{}"})


def application(kind: Kind) -> Any:
    """An application with the state that a request uses."""
    settings = SimpleNamespace(public_url=None)
    services = SimpleNamespace(verifier=kind.stage.verifier, metrics=Metrics(), settings=settings)
    return SimpleNamespace(state=SimpleNamespace(services=services))


def scope_of(raw: bytes, *, app: Any) -> dict[str, Any]:
    """A request with this token."""
    headers = [(b"host", b"api.example"), (b"accept", b"*/*"), (b"authorization", b"Bearer " + raw)]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "query_string": b"", "path_params": {}}
    return scope | {"app": app}


def open_pass(kind: Kind) -> Pass:
    """A request through the middleware to a route without authentication."""
    context, app = RequestContext(_answer, before=("/authz", _answer)), application(kind)

    async def once(raw: bytes) -> None:
        await context(scope_of(raw, app=app), _nothing, _nothing)

    return once


def warm_pass(kind: Kind) -> Pass:
    """The principal of a request with a cached token."""
    app = application(kind)

    async def once(raw: bytes) -> None:
        await principal_of(HTTPConnection(scope_of(raw, app=app)))

    return once


def cold_pass(kind: Kind) -> Pass:
    """The verification of a new token of a realm with keys."""

    async def once(raw: bytes) -> None:
        await kind.stage.verifier.verify(Credential(BEARER, raw))

    return once


def calls_of(once: Pass, raw: bytes) -> dict[str, int]:
    """The function calls of a pass, without those of the profiler and of garbage collections."""
    found = {"python calls": 0, "c calls": 0}

    def note(_: FrameType, event: str, what: Any) -> None:
        if event == "call":
            found["python calls"] += 1
        elif event == "c_call" and what is not sys.setprofile:
            found["c calls"] += 1

    step = once(raw).__await__()
    collects = gc.isenabled()
    gc.disable()
    sys.setprofile(note)
    try:
        step.send(None)  # type: ignore[attr-defined]
    except StopIteration:
        pass
    else:
        raise RuntimeError("the pass did not end without waiting")
    finally:
        sys.setprofile(None)
        if collects:
            gc.enable()
    return found


async def bytes_of(once: Pass, raws: list[bytes]) -> dict[str, int]:
    """The minima of bytes and blocks that a pass allocates: in some passes a cache grows."""
    held, left = [], []
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for raw in raws:
            before, blocks = tracemalloc.get_traced_memory()[0], sys.getallocatedblocks()
            tracemalloc.reset_peak()
            await once(raw)
            left.append(sys.getallocatedblocks() - blocks)
            held.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
        gc.enable()
    return {"bytes held": min(held), "blocks left": max(0, min(left))}


async def counted() -> dict[str, int]:
    """All counts, by name."""
    kind = Kind("RS256")
    known, unseen = kind.tokens(REPEATS), kind.tokens(2 * REPEATS)
    await kind.verified(known)
    found: dict[str, int] = {}
    passes = (
        ("open", open_pass(kind), known * 2),
        ("warm", warm_pass(kind), known * 2),
        ("cold", cold_pass(kind), unseen),
    )
    for name, once, tokens in passes:
        raws = [token.encode() for token in tokens]
        for raw in raws[:5]:
            await once(raw)  # fills caches
        each = [calls_of(once, raw) for raw in raws[5:REPEATS]]
        if any(one != each[0] for one in each):
            raise RuntimeError(f"the {name} pass has different counts each time: {each}")
        counts = each[0] | await bytes_of(once, raws[REPEATS:])
        found |= {f"{name}, {what}": count for what, count in counts.items()}
    return found


def worse(found: Mapping[str, int], *, baseline: Mapping[str, int]) -> list[str]:
    """The counts that exceed the baseline by more than the tolerance, or are not in it."""
    return [
        f"{name}: {count}, the baseline has {baseline.get(name, 'nothing')}"
        for name, count in found.items()
        if name not in baseline or count > baseline[name] * (TOLERANCE if baseline[name] >= MIN_TOLERATED_COUNT else 1)
    ]


def baseline_of(version: str = MINOR) -> dict[str, int]:
    """The committed counts for a Python; empty if there are none."""
    kept: dict[str, dict[str, int]] = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {}
    return kept.get(version, {})


def broken_by(found: Mapping[str, int]) -> list[str]:
    """The counts that are worse than the baseline of this Python, or the calls that are worse than those of the oldest
    Python where this one has no baseline: newer ones make fewer calls, and allocate differently."""
    if own := baseline_of():
        return worse(found, baseline=own)
    return worse({name: count for name, count in found.items() if name.endswith("calls")}, baseline=baseline_of(OLDEST))


def write(found: Mapping[str, int]) -> None:
    """Store the counts as the baseline of this Python."""
    kept = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {}
    BASELINE.write_text(json.dumps({**kept, MINOR: dict(found)}, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def loop(name: str, passes: int) -> None:
    """Run so many passes, for callgrind."""

    async def all_of_them() -> None:
        kind = Kind("RS256")
        tokens = kind.tokens(10 if name == "warm" else 10 + passes)
        await kind.verified(tokens[:10])
        raws = [token.encode() for token in tokens]
        once = warm_pass(kind) if name == "warm" else cold_pass(kind)
        for number in range(passes):
            await once(raws[number % 10] if name == "warm" else raws[10 + number])

    asyncio.run(all_of_them())


def instructions(name: str, *, few: int, many: int) -> float:
    """Instructions of one pass, by the difference of two runs. Raises RuntimeError if valgrind failed."""
    taken = []
    with TemporaryDirectory() as folder:
        for passes in (few, many):
            code = f"from benchmarks.guard import loop; loop({name!r}, {passes})"
            command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/{passes}"]
            done = subprocess.run(
                [*command, sys.executable, "-c", code],
                cwd=ROOT, env=os.environ | {"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            collected = re.search(r"Collected : (\d+)", done.stderr)
            if done.returncode or collected is None:
                raise RuntimeError(done.stderr[-2000:])
            taken.append(int(collected[1]))
    return (taken[1] - taken[0]) / (many - few)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench --guard", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="store the counts as the baseline")
    parser.add_argument("--instructions", action="store_true", help="add the CPU's instructions; needs valgrind")
    arguments = parser.parse_args()
    found, baseline = asyncio.run(counted()), baseline_of()
    for name, count in found.items():
        print(f"{name:20} {count:8,}   baseline {baseline.get(name, 'none')}")
    if arguments.instructions:
        if shutil.which("valgrind") is None:
            raise SystemExit("valgrind is missing: apt-get install valgrind")
        print(f"{'warm, instructions':20} {instructions('warm', few=1_000, many=3_000):8,.0f}")
    if arguments.write:
        write(found)
        return 0
    broken = broken_by(found)
    print("\n".join(broken), file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
