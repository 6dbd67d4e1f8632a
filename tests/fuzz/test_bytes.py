"""Bytes of any kind into everything that reads what a stranger sent; a short run here, scripts/fuzz runs on."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.inputs import bytes_for
from tests.fuzz.targets import CORPUS, TARGETS, seeds

EXAMPLES = [50, pytest.param(250, marks=pytest.mark.search)]


@pytest.mark.parametrize("name", TARGETS)
def test_committed_seeds_end_as_the_contract_says(name: str) -> None:
    assert seeds(name)
    for seed in seeds(name):
        TARGETS[name](seed)


def test_every_folder_of_the_corpus_belongs_to_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)


@pytest.mark.parametrize("examples", EXAMPLES)
@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes_end_as_the_contract_says(name: str, examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.deferred(lambda: bytes_for(name)))
    def fuzz(data: bytes) -> None:
        TARGETS[name](data)

    fuzz()
