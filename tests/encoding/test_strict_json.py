"""With orjson or without, the same texts are read, into the same values: the standard library is the judge."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenants_api.encoding import strict_json
from tenants_api.encoding.strict_json import parse_json, parse_with_stdlib
from tests.support.machine import require

SURROGATE = rb'{"a":"\ud800"}'
TEXTS = (
    b'{"a":1,"a":2}',
    b'{"a":1,"a":1}',
    b'{"a" :1,"a":2}',
    b'{"a":1,"b":":x","a":3}',
    b'{"a":{"b":[{"c":1,"c":1}]}}',
    b'{"a":1,"\\u0061":1}',
    b'{"":1,"":2}',
    b'{"a":NaN}',
    b'{"a":-Infinity}',
    b'{"a":1e999}',
    b'{"a":1e5,"b":1.0,"c":0.1,"d":-0,"e":-0.0,"f":1E5}',
    b'{"exp":18446744073709551615,"nbf":-9223372036854775808}',
    b'{"exp":18446744073709551616}',
    b'{"exp":1' + b"0" * 5000 + b"}",
    b'{"a":1.7976931348623157e308,"b":5e-324,"c":1e-400}',
    SURROGATE,
    b'{"a":"\xed\xa0\x80"}',
    b'{"a":"\xf0\x9f\x98\x80\xef\xbf\xbf"}',
    rb'{"a":"\ud83d\ude00\n\/\\\""}',
    b"\xef\xbb\xbf{}",
    '{"a":1}'.encode("utf-16"),
    b'{"a":"\x00"}',
    b'{"a":1}\x00',
    b' {"a":1} ',
    b'{"a":1}{}',
    b'{"a":1,}',
    b"{'a':1}",
    b"",
    b"null",
    b"true",
    b'"a"',
    b"[" * 200 + b"]" * 200,
    b"[" * 300 + b"]" * 300,
    b"[" * 5000 + b"]" * 5000,
    b'{"a":' * 5000 + b"1" + b"}" * 5000,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def outcome(read: Any, text: bytes) -> str:
    """The value with the types of all its parts, or that it is refused."""
    try:
        return repr(read(text))
    except ValueError:
        return "refused"


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: repr(text[:30]))
def test_a_text_is_read_as_the_judge_reads_it(text: bytes) -> None:
    assert outcome(parse_json, text) == outcome(parse_with_stdlib, text)


@given(VALUES, st.booleans(), st.sampled_from([(",", ":"), (", ", ": "), (" ,", " :")]))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_of_a_value_is_read_as_the_judge_reads_it(
    value: Any, escaped: bool, separators: tuple[str, str]
) -> None:
    text = json.dumps(value, ensure_ascii=escaped, separators=separators).encode("utf-8", "surrogatepass")
    assert outcome(parse_json, text) == outcome(parse_with_stdlib, text)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", ":"]), VALUES), min_size=2, max_size=5))
@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
def test_members_that_come_twice_are_refused(pairs: list[tuple[str, Any]]) -> None:
    members = ",".join(json.dumps(name) + ":" + json.dumps(value, ensure_ascii=False) for name, value in pairs)
    text = ("{" + members + "}").encode("utf-8", "surrogatepass")
    assert outcome(parse_json, text) == outcome(parse_with_stdlib, text)
    if len({name for name, _ in pairs}) < len(pairs):
        assert outcome(parse_json, text) == "refused"


def test_orjson_reads_what_keycloak_writes() -> None:
    """Else the extra would be installed for nothing."""
    require("orjson", available=strict_json.orjson is not None, how="pip install tenants-api[fast]")
    claims = {"iss": "https://id.example", "name": 'Zoë \\ "x"', "exp": 1, "aud": ["a", "b"]}
    text = json.dumps(claims, separators=(",", ":"), ensure_ascii=False)
    assert strict_json._verified(text.encode()) == json.loads(text)
