"""What importing the API takes, as a ratio to FastAPI and SQLAlchemy alone; each in fresh interpreters, in turns.

    python -m benchmarks.imports [--rounds N] [--json]

Measured inside each interpreter, from its first line to its last: to start Python itself is in neither. The middle
ratio of the rounds counts. Ends with 1 when the bound is passed.
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
    """CPU seconds of the imports, in an interpreter that has imported nothing else."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(statement)], capture_output=True, text=True, check=True, env=environment
    )
    return float(done.stdout)


def measured(rounds: int) -> dict[str, float]:
    with on_core(SERVER_CORE):
        for statement in WHO.values():
            seconds(statement)  # compiled, and in the cache of files
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
