"""Starts the servers under test: this product twice, the peers, and their realm."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.load import LOAD_CORE, SERVER_CORE, on_core
from benchmarks.load import started as start_process
from benchmarks.peers import issuer
from benchmarks.peers.environments import python_of
from benchmarks.requests import LIBRARY, running
from benchmarks.verification import sample_claims
from tenants_api.devkit.realms import DevRealmServer
from tests.support.ports import free_port
from tests.support.stack import CLIENT_ID

HERE = Path(__file__).parent
REALM = "acme"
OURS, UNCACHED = "remembered", "every token new"

# The URL and process id of each.
Asked = dict[str, tuple[str, int]]


def started(stack: ExitStack, *, realms: DevRealmServer, peers: tuple[str, ...], folder: Path) -> Asked:
    """Start all until the stack ends: the realm on the load's core, the servers on the other."""
    python = python_of(HERE / "python.lock")
    realm, port = realms.realm(REALM), free_port()
    server = f"http://127.0.0.1:{port}"
    answers = issuer.answers_of(realm, url=f"{server}/realms/{REALM}", claims=sample_claims())
    with on_core(LOAD_CORE):
        variables = {"ANSWERS": answers, "PYTHONPATH": str(HERE.parents[1])}
        stack.enter_context(
            uvicorn("benchmarks.peers.issuer", port=port, log=folder / "issuer.log", variables=variables)
        )
    where = {"ISSUER": realm.issuer, "SERVER": server, "REALM": REALM, "CLIENT_ID": CLIENT_ID}
    with on_core(SERVER_CORE):
        found = {
            OURS: stack.enter_context(running(folder / "ours", realms, workers=1, app=LIBRARY)),
            UNCACHED: stack.enter_context(
                running(folder / "uncached", realms, workers=1, app=LIBRARY, TENANTS_VERIFIED_TOKENS="0")
            ),
        }
        for peer in peers:
            log, variables = folder / f"{peer}.log", {**where, "PEER": peer}
            found[peer] = stack.enter_context(
                uvicorn("app", port=free_port(), python=python, cwd=HERE / "python", log=log, variables=variables)
            )
    return found


@contextmanager
def uvicorn(
    module: str, *, port: int, log: Path, variables: dict[str, str], python: str = sys.executable, cwd: Path = HERE
) -> Iterator[tuple[str, int]]:
    """A worker; its URL and process id. Raises RuntimeError with its log if it does not start."""
    command = [python, "-m", "uvicorn", "--factory", f"{module}:create", "--port", str(port)]
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    url, variables = f"http://127.0.0.1:{port}", inherited | variables
    command += ["--log-level", "error", "--no-access-log"]
    with start_process(command, log=log, variables=variables, ready=url, cwd=cwd) as process:
        yield url, process
