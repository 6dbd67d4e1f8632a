"""Runs every benchmark, and writes docs/performance.md and benchmarks/results.json from their output.

    scripts/bench [--quick] [--only TEXT]

A figure that is not measured in this run keeps its value and date.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.page import page_of, write_page
from benchmarks.rows import Row

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
# By module: its arguments, and those of `--quick` (None: not run).
RUNS: dict[str, tuple[list[str], list[str] | None]] = {
    "verification": ([], ["--rounds", "3"]),
    "refusals": ([], ["--rounds", "5"]),
    "requests": ([], ["--starts", "1", "--rounds", "2"]),
    "in_process": ([], ["--rounds", "5"]),
    "behind_nginx": ([], None),
    "imports": ([], ["--rounds", "3"]),
    "command_line": ([], ["--rounds", "5"]),
    "round_trips": ([], []),
    "active": ([], None),
    "refresh": ([], ["--rounds", "1"]),
    "liars": ([], ["--rounds", "1"]),
    "authz_only": ([], ["--rounds", "1"]),
    "suspension": ([], None),
    "isolation": ([], None),
    "scale": ([], None),
    "loading": ([], None),
    "peers": ([], ["--rounds", "1", "--seconds", "1"]),
    "jvm": ([], None),
}


ROWS = (
    Row("authenticated ÷ open, principal from the scope", "requests", "scope / open", 0.93, 0.97, True),
    Row("the same with `CurrentPrincipal`", "requests", "CurrentPrincipal / open", 0.85, 0.90, True),
    Row("open route: `create_app` ÷ bare FastAPI, no server", "in_process", "open, create_app / bare", 1.20),
    Row("the same with `Tenancy`", "in_process", "open, Tenancy / bare", 1.05),
    Row("`CurrentPrincipal`, known token ÷ empty dependency", "in_process", "CurrentPrincipal / noop", 1.25),
    Row("new token ÷ known token and RSA signature", "in_process", "new token / known and RSA", 1.25),
    Row("forward auth ÷ the same answer without any check", "requests", "forward auth / unchecked", 0.85, 0.94, True),
    Row("behind nginx: `auth_request` ÷ no authentication", "behind_nginx", "auth_request / no auth", 0.75, 0.80, True),
    Row("behind nginx: in the app ÷ no authentication", "behind_nginx", "auth in the app / no auth", 0.92, 0.95, True),
    Row("cold verification ÷ the signature alone, RS256", "verification", "RS256, cold / raw", 1.7, 1.5),
    Row("the same without the extra `fast`", "verification", "RS256, cold / raw, without the extra", 1.9),
    Row("the same, ES256", "verification", "ES256, cold / raw", 1.25, 1.15),
    Row("the same, EdDSA", "verification", "EdDSA, cold / raw", 1.2, 1.1),
    Row("cached token ÷ RS256 signature", "verification", "remembered / raw RS256", 0.13, 0.05),
    Row("p99 of 10,000 tenants in use ÷ of one, known tokens", "active", "p99 warm, all / one", 1.10, 1.05),
    Row("the same, each token verified", "active", "p99 cold, all / one", 1.25, 1.12),
    Row("requests with 100,000 idle tenants ÷ with one", "scale", "rps, all / one", 0.98, 0.99, True),
    Row("reading 100,000 tenants ÷ as objects, keys parsed", "loading", "ours / ORM and PyJWKSet", 0.25, 0.15),
    Row("bytes of an idle tenant", "scale", "bytes of an idle tenant", 1000, 700),
    Row("bytes of a cached token", "verification", "bytes of a remembered token", 600, 450),
    Row("longest GC pause ÷ with claims kept, 50,000 tokens", "verification", "longest pause / claims kept", 0.1, 0.05),
    Row("p99 while 20 realms a second renew their keys ÷ idle", "refresh", "p99 while renewing / idle", 1.25, 1.1),
    Row("p99 beside nineteen misbehaving realms ÷ beside honest ones", "liars", "p99 beside liars / honest", 1.25, 1.0),
    Row("fetches for 200 cold requests of one realm", "refresh", "fetches for 200 cold requests", 1, 1),
    Row("fetches for 500 unknown kids", "refresh", "fetches for 500 invented kids", 1, 0),
    Row("suspension effective on six workers, p99 in seconds, notified", "suspension", "notified, p99", 0.05, 0.01),
    Row("the same, slowest in seconds, without notifications", "suspension", "polled, slowest", 1.0),
    Row("foreign rows in 1,000,000 reads", "isolation", "foreign", 0, 0),
    Row("onboarding beside 100,000 tenants ÷ beside one", "scale", "onboarding, all / one", 1.25, 1.0),
    Row("refusal ÷ accept: garbage", "refusals", "garbage", 0.05),
    Row("refusal ÷ accept: unknown issuer", "refusals", "unknown issuer", 0.5),
    Row("refusal ÷ accept: forged signature", "refusals", "forged signature", 1.1),
    Row("two workers ÷ one", "requests", "two workers / one", 1.8, 1.9, True),
    Row("standalone forward auth ÷ the full API, start", "authz_only", "start, alone / full", 0.5),
    Row("standalone forward auth ÷ the full API, memory", "authz_only", "pss, alone / full", 0.75),
    Row("import of the API ÷ FastAPI and SQLAlchemy", "imports", "API / FastAPI and SQLAlchemy", 1.25, 1.15),
    Row("`tenants-api --help` ÷ importing typer and rich", "command_line", "help / typer and rich", 3),
    Row("requests a second ÷ python-keycloak `userinfo`", "peers", "remembered ÷ userinfo", 7, 8, True),
    Row("the same ÷ python-jose", "peers", "remembered ÷ python-jose", 3, 3.3, True),
    Row("the same ÷ the best Keycloak package", "peers", "remembered ÷ best Keycloak package", 3, 3.4, True),
    Row("the same ÷ the best of all peers", "peers", "remembered ÷ best peer", 1.8, 2, True),
    Row("every token new ÷ best Keycloak package", "peers", "every token new ÷ best Keycloak package", 2, 2.3, True),
    Row("every token new ÷ best of all peers", "peers", "every token new ÷ best peer", 1.2, 1.35, True),
    Row("SQL statements of 1,000 warm requests", "round_trips", "statements of warm requests", 0, 0),
    Row("requests to a realm for 1,000 warm requests", "round_trips", "fetches of warm requests", 0, 0),
    Row("SQL statements for 200 new tokens of a warm realm", "round_trips", "statements of new tokens", 0, 0),
    Row("requests to a realm for 200 new tokens", "round_trips", "fetches of new tokens", 0, 0),
    Row("CPU of a request, cached tokens: ours ÷ Spring Boot", "jvm", "remembered / Spring", 0.35, 0.30),
    Row("the same ÷ Quarkus", "jvm", "remembered / Quarkus", 0.65, 0.55),
    Row("CPU of a request, every token new to us: ours ÷ Spring Boot", "jvm", "new / Spring", 0.60, 0.50),
    Row("the same ÷ Quarkus, every token new", "jvm", "new / Quarkus", 1.10, 0.90),
)  # fmt: skip


def run(module: str, words: list[str]) -> dict[str, float]:
    """The values of a benchmark. Raises RuntimeError if its output has none."""
    command = [sys.executable, "-m", f"benchmarks.{module}", "--json", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    try:
        found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])["found"]
    except (IndexError, ValueError, KeyError) as error:
        raise RuntimeError(f"benchmarks.{module} ended with {done.returncode}:\n{done.stderr[-2000:]}") from error
    return found


def machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("fastapi", "uvicorn", "cryptography", "sqlalchemy"))
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes; writes nothing")
    parser.add_argument("--only", default="", metavar="TEXT", help="benchmarks whose name contains this")
    arguments = parser.parse_args()
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if arguments.quick:
        results = {}
    for module, (full, quick) in RUNS.items():
        words = quick if arguments.quick else full
        if arguments.only not in module or words is None:
            continue
        begun = time.monotonic()
        found = run(module, words)
        seconds = time.monotonic() - begun
        print(f"{module}: {seconds:.0f} s", file=sys.stderr, flush=True)
        on = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        results[module] = {"on": on, "seconds": seconds, "machine": machine(), "found": found}
        if not arguments.quick:
            RESULTS.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            write_page(results, rows=ROWS)  # after each benchmark, because the run is long
    print(page_of(results, rows=ROWS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
