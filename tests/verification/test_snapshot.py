"""Realms that take each other's place: whose an issuer is does not depend on the order in which that is learnt."""

from __future__ import annotations

import pytest

from tenants_api.verification.realms import TrustedRealm
from tests.support.verifying import Stage

ISSUER = "https://id.example/realms/shared"


def found(stage: Stage, organization: str | None = None) -> str | None:
    realm = stage.snapshot.find(ISSUER, organization=organization)
    return realm.tenant.slug if realm is not None else None


def added(stage: Stage, *names: str) -> list[TrustedRealm]:
    """Realms of one issuer, by tenant; `whole` is the issuer as a whole, the others are organizations of it."""
    return [stage.add(name, issuer=ISSUER, organization=None if "whole" in name else name) for name in names]


def test_realm_that_leaves_takes_nothing_of_the_one_that_came_in_its_place(stage: Stage) -> None:
    first, second = added(stage, "whole-before", "whole")
    assert found(stage) == "whole"
    assert stage.snapshot.remove(first.id) is first
    assert found(stage) == "whole"
    assert stage.snapshot.remove(second.id) is second
    assert found(stage) is None


@pytest.mark.parametrize("leaving", ["red", "whole"])
def test_parts_of_a_shared_issuer_leave_by_themselves(stage: Stage, leaving: str) -> None:
    names = ("red", "whole", "blue")
    realms = dict(zip(names, added(stage, *names), strict=True))
    stage.snapshot.remove(realms[leaving].id)
    left = {name: found(stage, None if name == "whole" else name) for name in names if name != leaving}
    assert left == {name: name for name in left}
    assert found(stage, leaving) == (None if leaving == "whole" else "whole")


def test_last_part_of_a_shared_issuer_leaves_no_trace(stage: Stage) -> None:
    for realm in added(stage, "red", "blue"):
        stage.snapshot.remove(realm.id)
    assert (found(stage, "red"), found(stage, "blue")) == (None, None)
    added(stage, "whole")
    assert found(stage, "red") == "whole"
