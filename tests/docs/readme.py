"""Reads the README's console blocks and runs them in one shell, in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_MARK = "@@end-of-command@@"
_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One `$ ` line and the output that the README shows for it."""

    text: str
    shown: str


def commands(markdown: str) -> list[Command]:
    """All console commands of a document, in order."""
    found = []
    for block in _BLOCK.findall(markdown):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            text, _, shown = part.partition("\n")
            found.append(Command(text, shown.strip()))
    return found


def run(listed: list[Command], *, folder: Path, ports: dict[str, str]) -> list[str]:
    """What the commands really print, with `ports` in place of the README's; the ports are put back in the output."""
    script = ["shopt -s expand_aliases"]
    for command in listed:
        text = command.text
        for shown, real in ports.items():
            text = text.replace(shown, real)
        script += [text, f"echo; echo {_MARK}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TENANTS_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-m"], input="\n".join(script), cwd=folder, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout.count(_MARK) == len(listed), done.stderr
    printed = done.stdout
    for shown, real in ports.items():
        printed = printed.replace(real, shown)
    return [part.strip() for part in printed.split(_MARK)[: len(listed)]]


def masked(text: str) -> str:
    """Without what differs from run to run (ids and times), and the revision, which every migration moves."""
    text = re.sub(r"^(revision|head) +\d{4}$", r"\1 <revision>", text, flags=re.MULTILINE)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
