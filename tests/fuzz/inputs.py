"""Where fuzzed bytes come from: the seeds, mutated as bytes or as JSON, and JSON of any shape. Hypothesis strategies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.targets import seeds

SCALARS: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    2**63,
    10**400,
    1.5,
    "",
    "a",
    "verify",
    "sig",
    "RS256",
    "\0",
    "\ud800",
    "é" * 300,
)
WORDS = st.sampled_from(
    ["keys", "kid", "kty", "alg", "use", "key_ops", "n", "e", "crv", "x", "y", "x5c", "d", "k", "iss", "sub", "aud", "exp", "typ", "roles", "issuer", "error", "tokens-not-before", "organization", "a", "b", ""]
)  # fmt: skip
JSON = st.recursive(
    st.sampled_from(SCALARS) | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


@st.composite
def respelled(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A seed with a part cut out, doubled, replaced or put in."""
    data = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        piece = draw(
            st.binary(max_size=6)
            | st.sampled_from([b".", b"=", b'"', b"{", b"[[", b"\\u0000", b"\\ud800", b"NaN", b"1e999", b"null"])
        )
        data = data[:start] + piece + data[draw(st.sampled_from([start, end])) :]
    return data


@st.composite
def regrown(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """A seed that is JSON, with one value somewhere in it replaced by any JSON."""
    value = json.loads(draw(st.sampled_from(samples)))
    place: Any = value
    while isinstance(place, dict | list) and place:
        step = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[step], dict | list) or not place[step] or draw(st.booleans()):
            place[step] = draw(JSON)
            return _dumped(value)
        place = place[step]
    return _dumped(draw(JSON))


def bytes_for(name: str) -> st.SearchStrategy[bytes]:
    """Inputs for a target."""
    samples = seeds(name)
    documents = [sample for sample in samples if _is_json(sample)]
    sources = [st.binary(max_size=300), respelled(samples), JSON.map(_dumped)]
    return st.one_of(*sources, *([regrown(documents), regrown(documents)] if documents else []))


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True
