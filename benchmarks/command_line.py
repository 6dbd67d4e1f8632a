"""The CPU time of `tenants-api --help` ÷ that of an interpreter that imports typer and rich.

    python -m benchmarks.command_line [--rounds N] [--json]

Measured is the whole process, including the start of Python. The result is the median ratio of the rounds. The exit
code is 1 if the bound is exceeded.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from statistics import median

from benchmarks.load import SERVER_CORE, on_core
from benchmarks.report import middle, parser, report

WHO = {
    "typer and rich": ["-c", "import typer, rich"],
    "help": ["-m", "tenants_api.cli", "--help"],
    "help of a verb": ["-m", "tenants_api.cli", "tenants", "list", "--help"],
}
RATIO = "help / typer and rich"
MOST = {RATIO: 3.0}


def seconds(words: list[str]) -> float:
    """CPU seconds of an interpreter from its start to its end."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measured(rounds: int) -> dict[str, float]:
    with on_core(SERVER_CORE):
        for words in WHO.values():
            seconds(words)  # compiles, and fills the file cache
        taken = [{name: seconds(words) for name, words in WHO.items()} for _ in range(rounds)]
    return middle(RATIO, (one["help"] / one["typer and rich"] for one in taken)) | {
        f"{name}, ms": median(one[name] for one in taken) * 1000 for name in WHO
    }


def main() -> int:
    arguments = parser("benchmarks.command_line", __doc__, rounds=15).parse_args()
    return report(measured(arguments.rounds), most=MOST, as_json=arguments.json)


if __name__ == "__main__":
    sys.exit(main())
