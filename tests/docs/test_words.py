"""Pages and code name components, in the terms of the field and in British spelling."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT, files

_WORDS = (
    r"whoever|somebody|anybody|nobody|stands?|stood|doors?|cure[sd]?|anew|hears?|heard|trail"
    r"|behavior|colors?(?!:)|honor(?:ed|s)?|canceled|analyze[ds]?|license[ds]"
)
_NOT_IN_PAGES = re.compile(rf"\b(?:{_WORDS})\b", re.IGNORECASE)
_NOT_IN_CODE = re.compile(
    rf"\b(?:{_WORDS}|everybody|told|tells?|said|says|kept(?!-alive)|doubts?|pok(?:e[ds]?|ing)|peek(?:ed|s)?|lies|lying"
    r"|is no (?:JSON|JWKS|PEM|URL|origin|text))\b",
    re.IGNORECASE,
)
_NOT_A_NAME = re.compile(r"_*(?:(?:on_)?(?:hear|tell|doubt|look|poke)|patience|trust|bench|rings?)")
_CODE = [path for path in files(suffix=".py") if path.is_relative_to(ROOT / "tenants_api")]


def _id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", files(suffix=".md"), ids=_id)
def test_page_has_no_word_that_has_a_better_one(page: Path) -> None:
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    assert [f"{number}: {found[0]}" for number, line in lines for found in _NOT_IN_PAGES.finditer(line)] == []


@pytest.mark.parametrize("file", _CODE, ids=_id)
def test_code_has_no_word_that_has_a_better_one(file: Path) -> None:
    texts = _texts(file.read_text(encoding="utf-8"))
    assert [f"{number}: {found[0]}" for number, text in texts for found in _NOT_IN_CODE.finditer(text)] == []


@pytest.mark.parametrize("file", _CODE, ids=_id)
def test_code_has_no_name_that_has_a_better_one(file: Path) -> None:
    names = (token for token in _tokens(file.read_text(encoding="utf-8")) if token.type == tokenize.NAME)
    assert [f"{one.start[0]}: {one.string}" for one in names if _NOT_A_NAME.fullmatch(one.string)] == []


def test_words_within_code_names_are_not_found() -> None:
    assert _NOT_IN_PAGES.findall("`test_realms_hold_up_nobody_else` or a standard") == []
    assert _NOT_IN_PAGES.findall("Whoever asks stands at the door") == ["Whoever", "stands", "door"]


def test_words_in_docstrings_messages_and_comments_are_found() -> None:
    source = '"""Told."""\nx = f"is no JSON {heard}"  # kept, and kept-alive\nslug_taken = "said"\n'
    found = [(number, word[0]) for number, text in _texts(source) for word in _NOT_IN_CODE.finditer(text)]
    assert sorted(found) == [(1, "Told"), (2, "is no JSON"), (2, "kept"), (3, "said")]


def _texts(source: str) -> Iterator[tuple[int, str]]:
    """Comments, docstrings and other strings, with the numbers of their first lines."""
    yield from ((token.start[0], token.string) for token in _tokens(source) if token.type == tokenize.COMMENT)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    return tokenize.generate_tokens(io.StringIO(source).readline)
