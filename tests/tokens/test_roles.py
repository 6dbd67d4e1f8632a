"""Role mapping: what a token's roles grant here."""

from __future__ import annotations

from typing import Any

import pytest

from tenants_api.role_rules import RoleRule
from tenants_api.tokens.principal import SAMPLE_ROLES, RoleTable, default_rules, names_of


def mapped(claims: dict[str, Any], *rules: RoleRule) -> set[str]:
    chosen = rules or default_rules("tenants-api", names=SAMPLE_ROLES.names)
    return set(RoleTable(chosen, names=SAMPLE_ROLES.names).roles_of(claims))


def test_role_on_our_client_grants_and_the_same_on_the_calling_client_does_not() -> None:
    assert mapped({"resource_access": {"tenants-api": {"roles": ["editor"]}}}) == {"editor"}
    assert mapped({"azp": "web", "resource_access": {"web": {"roles": ["editor", "admin"]}}}) == set()
    assert mapped({"realm_access": {"roles": ["admin", "editor"]}}) == set()


@pytest.mark.parametrize(
    ("source", "claims"),
    [
        ("realm", {"realm_access": {"roles": ["x"]}}),
        ("client:crm", {"resource_access": {"crm": {"roles": ["x"]}}}),
        ("group", {"groups": ["x"]}),
        ("scope", {"scope": "openid x"}),
    ],
)
def test_rule_reads_its_source_and_no_other(source: str, claims: dict[str, Any]) -> None:
    assert mapped(claims, RoleRule(source, "x", "editor")) == {"editor"}
    for other in {"realm", "client:crm", "group", "scope"} - {source}:
        assert mapped(claims, RoleRule(other, "x", "editor")) == set()


@pytest.mark.parametrize("value", ["X", "x ", "\u200bx", "\uff58", "/x"])
def test_value_is_compared_exactly(value: str) -> None:
    assert mapped({"realm_access": {"roles": [value]}}, RoleRule("realm", "x", "editor")) == set()


@pytest.mark.parametrize(
    "claims",
    [
        {"realm_access": []},
        {"realm_access": {"roles": "editor"}},
        {"realm_access": {"roles": {"editor": True}}},
        {"realm_access": {"roles": [1, None, ["editor"]]}},
        {"realm_access": None},
        {},
    ],
    ids=lambda claims: str(claims)[:40],
)
def test_roles_of_an_unexpected_shape_grant_nothing(claims: dict[str, Any]) -> None:
    assert mapped(claims, RoleRule("realm", "editor", "editor")) == set()


@pytest.mark.parametrize("source", ["realm", "client:crm", "group", "scope"])
def test_name_counts_however_many_stand_before_it(source: str) -> None:
    many = [f"role-{number}" for number in range(5000)] + ["editor"]
    claims = {
        "realm_access": {"roles": many},
        "resource_access": {"crm": {"roles": many}},
        "groups": many,
        "scope": " ".join(many),
    }
    assert mapped(claims, RoleRule(source, "editor", "editor")) == {"editor"}


def test_scope_is_split_at_single_spaces_only() -> None:
    assert names_of({"scope": "a b\tc,d"}, source="scope") == {"a", "b\tc,d"}


def test_role_includes_the_ones_below_it() -> None:
    assert SAMPLE_ROLES.permits({"admin"}, needed="viewer")
    assert SAMPLE_ROLES.permits({"editor"}, needed="viewer")
    assert not SAMPLE_ROLES.permits({"viewer"}, needed="editor")
    assert not SAMPLE_ROLES.permits(set(), needed="viewer")
