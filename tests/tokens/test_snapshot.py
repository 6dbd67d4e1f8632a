"""Realms that take each other's place: whose an issuer is does not depend on the order in which that is learnt."""

from __future__ import annotations

from typing import Any

import pytest

from tenants_api.tokens.errors import InvalidToken
from tenants_api.tokens.realms import TrustedRealm
from tests.support.verifying import Stage

ISSUER = "https://id.example/realms/shared"
UNKNOWN, SEVERAL = "unknown_organization", "several_organizations"


def found(stage: Stage, organization: Any = None, *, path: str | None = None) -> str | None:
    """The tenant's slug, or the reason of the refusal."""
    try:
        realm = stage.snapshot.find(ISSUER, organization=organization, tenant=path)
    except InvalidToken as error:
        return error.refusal.reason if error.refusal is not None else error.code
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
    assert found(stage, None if leaving == "whole" else leaving) == (None if leaving == "whole" else UNKNOWN)


def test_last_part_of_a_shared_issuer_leaves_no_trace(stage: Stage) -> None:
    for realm in added(stage, "red", "blue"):
        stage.snapshot.remove(realm.id)
    assert (found(stage, "red"), found(stage, "blue")) == (None, None)
    added(stage, "whole")
    assert (found(stage), found(stage, "red")) == ("whole", UNKNOWN)


@pytest.mark.parametrize(
    "claim", [["red"], {"red": {"id": "1"}}, "red", ["red", "blue"], ["x"] * 300, "", 7, [7], True]
)
def test_organization_that_is_not_registered_never_falls_to_the_whole_realm(stage: Stage, claim: Any) -> None:
    added(stage, "whole")
    assert found(stage, claim) == "whole", "no organization was ever registered: the claim chooses nothing"
    stage.snapshot.share(ISSUER)
    assert found(stage, claim) == UNKNOWN
    assert [found(stage, empty) for empty in (None, [], {})] == ["whole"] * 3


def test_name_that_stands_behind_many_others_is_found(stage: Stage) -> None:
    added(stage, "whole", "red")
    assert found(stage, [*(f"other-{number}" for number in range(5000)), "red"]) == "red"


def test_unregistered_organization_beside_a_registered_one_changes_nothing(stage: Stage) -> None:
    added(stage, "whole", "red")
    assert found(stage, ["green", "red"]) == "red"


def test_path_chooses_among_the_organizations_that_the_token_names_and_no_others(stage: Stage) -> None:
    added(stage, "whole", "red", "blue", "green")
    named = ["red", "blue"]
    assert [found(stage, named, path=path) for path in ("red", "blue")] == ["red", "blue"]
    assert {found(stage, named, path=path) for path in (None, "green", "whole", "nobody")} == {SEVERAL}
