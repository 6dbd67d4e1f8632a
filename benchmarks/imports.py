"""The time to import the API ÷ that of FastAPI and SQLAlchemy, in new interpreters.

    python -m benchmarks.imports [--rounds N] [--json]

Measured inside each interpreter, so without the start of Python. The result is the median ratio of the rounds. The exit
code is 1 if the bound is exceeded.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median

from benchmarks.load import SERVER_CORE, on_core
from benchmarks.report import middle, parser, report

WHO = {
    "alone": "import fastapi, sqlalchemy, sqlalchemy.ext.asyncio, sqlalchemy.orm",
    "API": "import tenants_api.app",
    "forward auth": "import tenants_api.server.standalone",
}
MOST = {"API / FastAPI and SQLAlchemy": 1.25}
TIMED = "import time; begun = time.process_time()\n{}\nprint(time.process_time() - begun)"


def seconds(statement: str) -> float:
    """CPU seconds of the imports in a new interpreter."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(statement)], capture_output=True, text=True, check=True, env=environment
    )
    return float(done.stdout)


def measured(rounds: int) -> dict[str, float]:
    with on_core(SERVER_CORE):
        for statement in WHO.values():
            seconds(statement)  # compiles, and fills the file cache
        taken = [{name: seconds(statement) for name, statement in WHO.items()} for _ in range(rounds)]
    return (
        middle("API / FastAPI and SQLAlchemy", (one["API"] / one["alone"] for one in taken))
        | {"forward auth / API": median(one["forward auth"] / one["API"] for one in taken)}
        | {f"{name}, ms": median(one[name] for one in taken) * 1000 for name in WHO}
    )


def main() -> int:
    arguments = parser("benchmarks.imports", __doc__, rounds=15).parse_args()
    return report(measured(arguments.rounds), most=MOST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
