"""The README is true: its commands run and print what it shows, and its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.readme import ROOT, commands, masked, run
from tests.house.tree import files
from tests.support.ports import free_port

README = (ROOT / "README.md").read_text(encoding="utf-8")
# The two commands stand in a block of their own: scripts/demo is run by tests/cli/test_demo.py (the same command
# behind the set-up), scripts/test is what runs this test.
TWO_COMMANDS = ("scripts/demo", "scripts/test")


@pytest.mark.servers
def test_tour_prints_what_the_readme_shows(tmp_path: Path) -> None:
    listed = commands(README)
    (tmp_path / "tour.db").write_bytes(b"left by an earlier tour")
    assert len(listed) > 15
    printed = run(listed, folder=tmp_path, ports={"8180": str(free_port()), "8000": str(free_port())})
    for command, real in zip(listed, printed, strict=True):
        assert masked(real) == masked(command.shown), command.text


def test_no_command_stands_outside_of_the_tour_but_the_two() -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    assert tuple(lines) == TWO_COMMANDS


@pytest.mark.parametrize("page", files(suffix=".md"), ids=str)
def test_relative_links_lead_to_files(page: Path) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", files(suffix=".md"), ids=str)
def test_anchors_lead_to_headings(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)#([^)\s]+)\)", page.read_text(encoding="utf-8"))
    assert [
        f"{path}#{anchor}" for path, anchor in links if anchor not in anchors(page.parent / path if path else page)
    ] == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
