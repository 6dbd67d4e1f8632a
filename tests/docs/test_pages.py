"""The other pages are true too: files that they name exist, the drawn tree is the tree, operations' commands run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.readme import ROOT, commands, masked, run
from tests.house.tree import files

DOCS = ROOT / "docs"
_FILE = re.compile(r"`((?:tenants_api|tests|migrations|examples|deploy|scripts)/[\w./-]+\.\w+)`")


@pytest.mark.parametrize("page", files(suffix=".md"), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = _FILE.findall(page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_promises_and_the_way_of_a_request_name_files() -> None:
    for page, least in ((ROOT / "SECURITY.md", 12), (DOCS / "how-it-works.md", 15)):
        assert len(set(_FILE.findall(page.read_text(encoding="utf-8")))) >= least


def test_drawn_tree_holds_every_module_and_package() -> None:
    drawn = (DOCS / "how-it-works.md").read_text(encoding="utf-8").partition("```\ntenants_api/\n")[2]
    lines = drawn.partition("\nmigrations/")[0].splitlines()
    names = {name.rstrip("/") for line in lines for name in re.findall(r"(?:^|  )(\w+(?:/|\.py))(?= |$)", line)}
    top = {path.relative_to(ROOT / "tenants_api").parts[0] for path in files("tenants_api", suffix=".py")}
    assert names == top - {"__init__.py"}


@pytest.mark.servers
def test_operations_commands_print_what_the_page_shows(tmp_path: Path) -> None:
    listed = commands((DOCS / "operations.md").read_text(encoding="utf-8"))
    assert len(listed) > 8
    printed = run(listed, folder=tmp_path, ports={})
    for command, real in zip(listed, printed, strict=True):
        assert masked(real) == masked(command.shown), command.text


def test_overview_leads_to_every_page() -> None:
    overview = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in DOCS.glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"({name})" not in overview} == set()
