"""The cost of authentication behind nginx: by auth_request, and in the application.

    python -m benchmarks.behind_nginx [--rounds N] [--seconds N] [--json]

nginx has the configuration of `tenants-api gateway render nginx`; for the open gateway only its auth_request is
removed. nginx, the applications and forward auth share one core, wrk has the other. Four measurements: open,
auth_request to standalone forward auth, auth_request to the API's `/authz`, and the open gateway to a route that this
product authenticates in the application (benchmarks.library). The result is the median ratio of the rounds. The exit
code is 1 if a bound is exceeded. Needs nginx and wrk.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx

from benchmarks.library import LEARN, OPEN, PATH
from benchmarks.load import LOAD_CORE, SERVER_CORE, Measured, on_core, started, wrk
from benchmarks.report import middles, parser, report
from benchmarks.requests import LIBRARY, TOKENS, running
from tenants_api.devkit.realms import DevRealmServer
from tenants_api.forward_auth.configurations import plan, render
from tests.gateways.proxies import HOW, binary
from tests.support.ports import free_port
from tests.support.realms import dev_realms
from tests.support.serving import environment
from tests.support.stack import bearer

LEAST = {"auth_request / no auth": 0.75, "auth in the app / no auth": 0.92}


@contextmanager
def gateway(folder: Path, *, service: str, authorizer: str, is_open: bool = False) -> Iterator[str]:
    """nginx in front of a service; its URL."""
    program = binary("nginx")
    if program is None:
        raise SystemExit(f"nginx is missing: {HOW['nginx']}")
    folder.mkdir()
    port = free_port()
    chosen = plan(listen=f"127.0.0.1:{port}", authorizer=authorizer, upstream=service, folder=folder)
    text = render("nginx", plan=chosen).replace("worker_processes auto;", "worker_processes 1;")
    (folder / "nginx.conf").write_text(without_auth_request(text) if is_open else text, encoding="utf-8")
    user = " user root;" if os.geteuid() == 0 else ""  # the user `nobody` cannot write into this folder
    command = [program, "-c", str(folder / "nginx.conf"), "-g", f"daemon off;{user}"]
    url = f"http://127.0.0.1:{port}"
    with started(command, log=folder / "log", variables=dict(os.environ), ready=url, cwd=folder):
        yield url


def without_auth_request(text: str) -> str:
    """The configuration without auth_request; it sets and clears the same headers."""
    text = re.sub(r"auth_request_set (\$\w+) [^;]+;", r'set \1 "";', text)
    return text.replace("auth_request /.authz;", "")


@contextmanager
def forward_auth(folder: Path, realms: DevRealmServer) -> Iterator[str]:
    """`serve --authz-only` on the database of the application; its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "tenants_api.server.standalone", "--port", address.rpartition(":")[2]]
    given = environment(folder, realms) | {"TENANTS_LOG_LEVEL": "error"}
    with started(command, log=folder / "log", variables=given, ready=f"http://{address}/readyz", cwd=folder):
        yield address


def measured(*, rounds: int, seconds: float) -> dict[str, float]:
    """All measurements in each round."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="nginx-")))
        realms = stack.enter_context(dev_realms("acme"))
        tokens = [realms.realm("acme").mint(claims={"jti": f"{number}"}) for number in range(TOKENS)]
        with on_core(SERVER_CORE):
            whole, _ = stack.enter_context(running(folder / "whole", realms, workers=1))
            services = {
                kind: stack.enter_context(running(folder / kind, realms, workers=1, app=LIBRARY, ROUTE=kind))[0]
                for kind in (OPEN, "scope")
            }
            alone = stack.enter_context(forward_auth(folder / "whole", realms))
            gateways = {
                name: stack.enter_context(
                    gateway(
                        folder / name.replace(" ", "-"),
                        service=services[kind].removeprefix("http://"),
                        authorizer=asked.removeprefix("http://"),
                        is_open=is_open,
                    )
                )
                for name, kind, asked, is_open in (
                    ("no auth", OPEN, alone, True),
                    ("auth_request", OPEN, alone, False),
                    ("auth_request to the app", OPEN, whole, False),
                    ("auth in the app", "scope", alone, True),
                )
            }
        os.sched_setaffinity(0, {LOAD_CORE})
        turns = {name: f"{url}{PATH}" for name, url in gateways.items()}
        make_known(turns, tokens=tokens, learn=f"{services['scope']}{LEARN}")
        taken: dict[str, list[Measured]] = {name: [] for name in turns}
        for _ in range(rounds):
            for name, asked in turns.items():
                taken[name].append(wrk(asked, tokens=tokens, folder=folder, seconds=seconds))
    return found_in(taken)


def make_known(turns: dict[str, str], *, tokens: list[str], learn: str) -> None:
    """Send each token once to each server, so that it is cached; check that only the open gateway needs no token."""
    for raw in tokens:
        for url in (learn, *turns.values()):
            httpx.get(url, headers=bearer(raw)).raise_for_status()
    refused = [name for name, url in turns.items() if httpx.get(url).status_code == 401]
    if refused != [name for name in turns if name != "no auth"]:
        raise RuntimeError(f"expected all but the open gateway to refuse a request without a token, found {refused}")


def found_in(taken: dict[str, list[Measured]]) -> dict[str, float]:
    """The ratios to the open gateway, and its own rate."""
    plain = taken.pop("no auth")
    found = middles(
        {
            f"{name} / no auth": [one.rps / other.rps for one, other in zip(each, plain, strict=True)]
            for name, each in taken.items()
        }
    )
    found |= {
        f"p99, {name} / no auth": median(one.p99 / other.p99 for one, other in zip(each, plain, strict=True))
        for name, each in taken.items()
    }
    return found | {"rps, no auth": median(one.rps for one in plain)}


def main() -> int:
    options = parser("benchmarks.behind_nginx", __doc__, rounds=7)
    options.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    arguments = options.parse_args()
    found = measured(rounds=arguments.rounds, seconds=arguments.seconds)
    return report(found, most={}, least=LEAST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
