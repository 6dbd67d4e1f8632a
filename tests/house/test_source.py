"""What the source must never say: a check that is switched off, or SQL at an edge."""

from __future__ import annotations

import re

import pytest

from tests.house.tree import files, name_of

_SWITCHED_OFF = {
    "certificates": re.compile(r"verify\s*=\s*False|CERT_NONE|check_hostname\s*=\s*False"),
    "claims": re.compile(r"['\"]verify_(?:signature|exp|nbf|iat|aud|iss|sub|jti)['\"]\s*:\s*False|issuer\s*=\s*None\b"),
    "tokens": re.compile(r"jwt\.decode\("),
    "debug": re.compile(r"debug\s*=\s*True|reload\s*=\s*True"),
}
# The development realms are a realm, not this API: they read the tokens that they issued themselves.
_ELSEWHERE = "tenants_api/devkit/realms/"


@pytest.mark.parametrize("kind", _SWITCHED_OFF)
def test_no_check_is_switched_off(kind: str) -> None:
    found = [
        name_of(path)
        for path in files("tenants_api", suffix=".py")
        if _SWITCHED_OFF[kind].search(path.read_text(encoding="utf-8")) and not name_of(path).startswith(_ELSEWHERE)
    ]
    assert found == []


def test_only_the_check_of_the_signature_makes_claims_verified_ones() -> None:
    made = {
        name_of(path): count
        for path in files("tenants_api", suffix=".py")
        if (count := len(re.findall(r"(?<!NewType\()\bVerifiedClaims\(", path.read_text(encoding="utf-8"))))
    }
    assert made == {"tenants_api/tokens/signed.py": 1}


# An edge runs commands; what it writes itself is HTTP's own: answers to repeat, and the rows of the sample resource.
_EDGES = ("tenants_api/api", "tenants_api/cli", "tenants_api/forward_auth", "tenants_api/web")
_WRITES_ITSELF = {"preconditions.py", "dependencies.py"}
_TRANSACTION = re.compile(r"\.begin\(|import select\b|\btext\(\"(?:select|insert|update|delete)")


def test_no_edge_begins_a_transaction_that_writes_or_speaks_sql() -> None:
    found = {
        path.name
        for edge in _EDGES
        for path in files(edge, suffix=".py")
        if _TRANSACTION.search(path.read_text(encoding="utf-8"))
    }
    assert found == _WRITES_ITSELF
