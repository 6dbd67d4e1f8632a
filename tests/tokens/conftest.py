"""The stage of the verifier's tests, once without and once with the cache of verified tokens."""

from __future__ import annotations

import pytest

from tests.support.verifying import Stage


@pytest.fixture(params=[False, True], ids=["uncached", "cached"])
def stage(request: pytest.FixtureRequest) -> Stage:
    return Stage(cached=request.param)
