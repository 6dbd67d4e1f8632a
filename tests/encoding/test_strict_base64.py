"""With pybase64 or without, the same texts are read, into the same bytes; and each has one spelling only."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tenants_api.encoding import strict_base64
from tenants_api.encoding.strict_base64 import parse_base64url, parse_with_stdlib
from tests.support.machine import require

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
NEARLY = st.lists(st.sampled_from([bytes([one]) for one in ALPHABET + b"+/=. \n\x00\xff"]), max_size=90).map(b"".join)
EITHER = pytest.mark.parametrize("reader", [parse_base64url, parse_with_stdlib], ids=["pybase64", "standard library"])


def spelt(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def read(text: bytes, *, reader: Callable[[bytes], bytes]) -> bytes | None:
    """None for a refusal."""
    require("pybase64", available=strict_base64.pybase64 is not None, how="pip install tenants-api[fast]")
    try:
        return reader(text)
    except ValueError:
        return None


@EITHER
@given(data=st.binary(max_size=200))
def test_what_was_written_is_read(reader: Callable[[bytes], bytes], data: bytes) -> None:
    assert read(spelt(data), reader=reader) == data


@given(text=NEARLY)
@example(text=b"ab+/")
@example(text=b"ab==")
@example(text=b"abcd====")
def test_both_read_the_same(text: bytes) -> None:
    assert read(text, reader=parse_base64url) == read(text, reader=parse_with_stdlib)


@EITHER
@given(text=NEARLY)
def test_nothing_has_a_second_spelling(reader: Callable[[bytes], bytes], text: bytes) -> None:
    data = read(text, reader=reader)
    assert data is None or spelt(data) == text


@EITHER
@pytest.mark.parametrize(
    "text",
    [
        b"a", b"abcde", b"ab=", b"ab==", b"abc=", b"====", b"ab=c", b"ab+/", b"ab+_", b"a+", b"ab c", b" abcd",
        b"abcd\n", b"ab\x00d", b"ab\xffd", b"ab.d", b"aB", b"abd", b"abcd" * 20 + b"+bcd" + b"abcd" * 20,
        b"abcd" * 20 + b"ab==" + b"abcd" * 20, b"abcd" * 20 + b"ab\ncd" + b"abcd" * 20,
    ],
)  # fmt: skip
def test_anything_but_the_canonical_spelling_is_refused(reader: Callable[[bytes], bytes], text: bytes) -> None:
    assert read(text, reader=reader) is None
