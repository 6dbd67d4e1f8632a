"""A sample of what is near a good token, over the socket: single bytes, in all places of the text."""

from __future__ import annotations

import itertools

import pytest

from tests.attacks.arena import Arena
from tests.attacks.battery.cases import ACCEPTED
from tests.vectors.mutations import single_bytes

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("battery-b")]
STEP = 89  # prime, so that every kind of mutation and every segment is met


async def test_sample_of_single_byte_mutations_is_refused_by_the_server(arena: Arena) -> None:
    raw = arena.mint.token("globex")
    assert (await arena.me(raw)).shown == ACCEPTED
    sample = [other for other in itertools.islice(single_bytes(raw), 0, None, STEP) if other != raw]
    assert len(sample) > 100
    # White space at the end of a header's value is no part of it (RFC 9110 section 5.5): that is the token itself.
    answers = {other: (await arena.me(other)).shown for other in sample if other.rstrip(" \t") != raw}
    wrong = {other: shown for other, shown in answers.items() if shown[0] not in (400, 401)}
    assert wrong == {}
    assert (await arena.me(raw)).shown == ACCEPTED
