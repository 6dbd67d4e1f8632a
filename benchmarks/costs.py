"""A profile of the server by cProfile: the functions with most own time.

    python -m benchmarks.costs [PATH] [--cold] [--lines N]

wrk sends requests for some seconds to one worker at PATH of benchmarks.app, or `/v1/me`; tokens are cached, or with
`--cold` verified each time. Functions with fewer calls than requests are left out. cProfile slows each call, so that
code of many small functions looks slower than it is: use the shares by package and the order. Needs wrk.
"""

from __future__ import annotations

import argparse
import os
import pstats
import re
import signal
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.load import LOAD_CORE, SERVER_CORE, on_core, onboard, wrk
from benchmarks.requests import TOKENS
from tests.support.ports import free_port
from tests.support.processes import answers, wait_for
from tests.support.realms import dev_realms, migrate, settings_for
from tests.support.serving import environment

QUIET = {"TENANTS_LOG_LEVEL": "error", "TENANTS_RECONCILE_INTERVAL": "0", "TENANTS_REGISTRY_POLL": "60"}


def profiled(path: str, *, cold: bool, seconds: float) -> pstats.Stats:
    """The profile of a server under load."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="costs-")))
        realms = stack.enter_context(dev_realms("acme"))
        tokens = [realms.realm("acme").mint(claims={"jti": f"{number}"}) for number in range(TOKENS)]
        migrate(settings_for(realms, folder))
        port, more = free_port(), QUIET | ({"TENANTS_VERIFIED_TOKENS": "0"} if cold else {})
        command = [sys.executable, "-m", "cProfile", "-o", str(folder / "profile"), "-m", "uvicorn", "--factory"]
        command += ["benchmarks.app:create", "--port", str(port), "--log-level", "error", "--no-access-log"]
        with on_core(SERVER_CORE):
            process = subprocess.Popen(command, env=environment(folder, realms) | more, start_new_session=True)
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: answers(f"{url}/readyz"), within=60, what="the application responds")
            onboard(url, realms.realm("acme"))
            os.sched_setaffinity(0, {LOAD_CORE})
            wrk(f"{url}{path}", tokens=tokens, folder=folder, seconds=seconds, connections=8)
        finally:
            process.send_signal(signal.SIGINT)  # after SIGTERM the profiler would write nothing
            process.wait(20)
        return pstats.Stats(str(folder / "profile"))


def summary(stats: pstats.Stats, *, lines: int) -> str:
    """Shares of the time of a request, by package and by function."""
    packages, functions = Counter[str](), Counter[str]()
    calls: dict[str, int] = {}
    every = stats.stats.items()  # type: ignore[attr-defined]
    served = sum(count for (_, _, name), (_, count, *_) in every if name == "run_asgi")
    for (file, _, name), (_, count, own, _, _) in every:
        if count < 0.9 * served:
            continue
        where = package_of(file, name)
        packages[where] += own
        functions[f"{where}: {name}"] += own
        calls[f"{where}: {name}"] = count
    whole = packages.total()
    found = [f"{served:,} requests", *(f"{own / whole:6.1%}  {name}" for name, own in packages.most_common(lines))]
    found += ["", *(f"{own / whole:6.1%}  {name} ({calls[name]:,})" for name, own in functions.most_common(lines))]
    return "\n".join(found)


def package_of(file: str, name: str) -> str:
    installed = re.search(r"site-packages/([^/]+)", file)
    if installed:
        return installed[1]
    if file == "~":
        return "C: signature" if "verify" in name else "C"
    ours = re.search(r"(tenants_api/\w+|benchmarks)", file)
    return ours[1] if ours else "standard library"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.costs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", nargs="?", default="/v1/me")
    parser.add_argument("--cold", action="store_true", help="without the cache of verified tokens")
    parser.add_argument("--lines", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=8.0)
    arguments = parser.parse_args()
    stats = profiled(arguments.path, cold=arguments.cold, seconds=arguments.seconds)
    print(summary(stats, lines=arguments.lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
