"""Runs the verifier's core over Project Wycheproof's vectors for JSON Web Signatures and JSON Web Keys.

    python -m tests.vectors.wycheproof json_web_signature_test.json json_web_key_test.json

The payloads of those vectors are no claims, so what runs is everything up to the claims: the strict reading of the
text, the reading of the key set, the choice of the key and the signature. Ends with 1 when a vector that must be
refused was accepted, or one that is valid was refused without a reason that stands in `STRICTER`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tenants_api.jwks.parse import BrokenKeySet, parse_key_set
from tenants_api.tokens.decode import split_jws
from tenants_api.tokens.errors import InvalidToken

ACCEPTED = "accepted"
# Why a vector that is valid JWS is refused here all the same.
STRICTER = {
    "unusable_key": "the key is symmetric or private, or has no kid: a realm publishes public keys with names",
    "another_algorithm": "the key's own alg names another algorithm than the token's; it verifies that one only",
    "not_base64url": "the payload is empty, which no access token is; or there is a ? in it, which is no base64url",
}


@dataclass(frozen=True, slots=True)
class Vector:
    """One test of a file: a token, the keys that the verifier has, and whether it must be accepted."""

    id: str
    comment: str
    raw: str
    keys: bytes
    valid: bool


def vectors(path: Path) -> Iterator[Vector]:
    """The vectors of one file that hold a JWS."""
    document = json.loads(path.read_text("utf-8"))
    for group in document["testGroups"]:
        for test in group["tests"]:
            if "jws" in test:
                raw = test["jws"] if isinstance(test["jws"], str) else json.dumps(test["jws"])
                name = f"{path.name} {test['tcId']}"
                yield Vector(name, test["comment"], raw, _key_set(group), test["result"] == "valid")


def _key_set(group: dict[str, Any]) -> bytes:
    given = group.get("public") or group.get("private") or {}
    return json.dumps(given if "keys" in given else {"keys": [given]}).encode()


def outcome(vector: Vector) -> str:
    """`accepted`, or the reason of the refusal."""
    try:
        _, kid, algorithm, _, signing_input, signature = split_jws(vector.raw.encode("utf-8", "surrogatepass"))
    except InvalidToken as error:
        return error.refusal.reason if error.refusal else "refused"
    try:
        keys = parse_key_set(vector.keys).keys
    except BrokenKeySet:
        return "unusable_key"
    key = keys.get(kid)
    if key is None:
        return "unknown_key"
    if algorithm not in key.algorithms:
        return "another_algorithm"
    good = key.verifies(signing_input, signature=signature, algorithm=algorithm)
    return ACCEPTED if good else "bad_signature"


def judged(listed: Iterable[Vector]) -> tuple[Counter[str], list[str]]:
    """How many vectors had which outcome, and what is wrong (a wrong accept, or a refusal without a named reason)."""
    counts: Counter[str] = Counter()
    wrong = []
    for vector in listed:
        found = outcome(vector)
        counts[f"{'valid' if vector.valid else 'invalid'}: {found}"] += 1
        if (found == ACCEPTED and not vector.valid) or (vector.valid and found not in (ACCEPTED, *STRICTER)):
            wrong.append(f"{vector.id} ({vector.comment}): {found}")
    return counts, wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.vectors.wycheproof", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    counts, wrong = judged(vector for path in parser.parse_args().paths for vector in vectors(path))
    for name, count in sorted(counts.items()):
        print(f"{count:6} {name}")
    for line in wrong:
        print(f"WRONG  {line}")
    print(f"{counts.total()} vectors, {len(wrong)} wrong")
    return 1 if wrong or not counts else 0


if __name__ == "__main__":
    sys.exit(main())
