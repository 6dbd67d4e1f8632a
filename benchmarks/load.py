"""Load for every benchmark: wrk on one core, the server on the other, tokens in turn."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tenants_api.devkit.realms import DevRealm
from tests.support.processes import stop_group, wait_for
from tests.support.stack import ADMIN_KEY, CLIENT_ID, bearer

CONNECTIONS = 32
SERVER_CORE, LOAD_CORE = 0, 1
# Requests are made before the first call; the shuffle is the same in each run.
SCRIPT = """
local tokens = {}
for line in io.lines("%s") do tokens[#tokens + 1] = line end
math.randomseed(1)
for i = #tokens, 2, -1 do local j = math.random(i); tokens[i], tokens[j] = tokens[j], tokens[i] end
local requests, next_request = {}, 0
init = function()
  for i = 1, #tokens do requests[i] = wrk.format("GET", nil, {["Authorization"] = "Bearer " .. tokens[i]}) end
end
request = function()
  next_request = next_request %% #requests + 1
  return requests[next_request]
end
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """The result of a run of wrk."""

    rps: float
    p50: float  # milliseconds
    p99: float


@contextmanager
def on_core(*cores: int) -> Iterator[None]:
    """Processes that are started in the block, and their children, run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores) & before or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def listens(url: str) -> bool:
    """Whether a server responds, with any status."""
    try:
        httpx.get(url, timeout=2, trust_env=False)
    except httpx.TransportError:
        return False
    return True


@contextmanager
def started(
    command: list[str], *, log: Path, variables: dict[str, str], ready: str, cwd: Path | None = None
) -> Iterator[int]:
    """Run a server while the block runs; its process id, once it responds at `ready`. RuntimeError if it ends."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=variables, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        wait_for(lambda: process.poll() is not None or listens(ready), within=180, what=f"{ready} responds")
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended:\n{log.read_text(errors='replace')[-3000:]}")
        yield process.pid
    finally:
        stop_group(process)


def onboard(url: str, realm: DevRealm, *, realm_url: str | None = None) -> None:
    """Register a realm as a tenant of the same name. Raises RuntimeError unless the tenant is active."""
    description = {"issuer": realm.issuer, "realm_url": realm_url or realm.realm_url, "client_id": CLIENT_ID}
    body = {"slug": realm.name, "name": realm.name, "realms": [description]}
    response = httpx.post(f"{url}/admin/v1/tenants", json=body, headers=bearer(ADMIN_KEY), timeout=30, trust_env=False)
    if response.status_code != 201 or response.json()["state"] != "active":
        raise RuntimeError(response.text)


def wrk(
    url: str,
    *,
    tokens: list[str],
    folder: Path,
    seconds: float,
    connections: int = CONNECTIONS,
    cores: tuple[int, ...] = (LOAD_CORE,),
) -> Measured:
    """Closed-loop load on a URL; each call has the next token.

    Raises:
        RuntimeError: wrk is missing, or a response was not a success.
    """
    program = shutil.which("wrk")
    if program is None:
        raise RuntimeError("wrk is missing: apt-get install wrk")
    (folder / "tokens.txt").write_text("\n".join(tokens) + "\n", encoding="ascii")
    (folder / "load.lua").write_text(SCRIPT % (folder / "tokens.txt"), encoding="utf-8")
    command = [
        program,
        "--latency",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:.0f}s",
        "-s",
        str(folder / "load.lua"),
        url,
    ]
    with on_core(*cores):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"a call to {url} failed:\n{done.stdout}")
    return Measured(
        _number(r"Requests/sec:\s+([\d.]+)", done.stdout), _time("50%", done.stdout), _time("99%", done.stdout)
    )


def cpu_seconds(processes: list[int]) -> float:
    """User and system time of these processes so far (proc(5), stat fields 14 and 15)."""
    ticks = 0
    for process in processes:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"wrk printed no {pattern!r}:\n{text}")
    return float(found[1])


def _time(share: str, text: str) -> float:
    found = re.search(rf"{share}\s+([\d.]+)(us|ms|s)\n", text)
    if found is None:
        raise RuntimeError(f"wrk printed no {share}:\n{text}")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
