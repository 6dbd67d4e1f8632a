"""Role mapping: from what a realm says about a user to the roles of this application.

A role that no rule names grants nothing; nor does a role on another client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_NAMES = 1000  # a hostile realm may list any number; more than this many names of one kind are not looked at


@dataclass(frozen=True, slots=True)
class RoleRule:
    """`source` is `realm`, `client:<client_id>`, `group` or `scope`; `value` must match exactly."""

    source: str
    value: str
    role: str


@dataclass(frozen=True, slots=True)
class RoleModel:
    """The roles that an application knows, and what each one includes.

    `RoleModel({"admin": {"editor"}, "editor": {"viewer"}, "viewer": set()})` reads admin ⊃ editor ⊃ viewer.
    """

    includes: Mapping[str, Iterable[str]]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.includes)

    def permits(self, held: Iterable[str], *, needed: str) -> bool:
        """Whether one of the held roles is, or includes, the needed one."""
        return needed in self.expand(held)

    def expand(self, held: Iterable[str]) -> frozenset[str]:
        """The held roles and everything that they include."""
        seen: set[str] = set()
        waiting = list(held)
        while waiting:
            role = waiting.pop()
            if role not in seen:
                seen.add(role)
                waiting.extend(self.includes.get(role, ()))
        return frozenset(seen)


SAMPLE_ROLES = RoleModel({"admin": ("editor",), "editor": ("viewer",), "viewer": ()})


def names_of(claims: Mapping[str, Any], *, source: str) -> frozenset[str]:
    """What a token says for one source of a rule; anything of an unexpected type says nothing."""
    if source == "realm":
        return _strings(_member(claims.get("realm_access"), "roles"))
    if source == "group":
        return _strings(claims.get("groups"))
    if source == "scope":
        scope = claims.get("scope")
        return frozenset(scope.split(" ")[:MAX_NAMES]) - {""} if isinstance(scope, str) else frozenset()
    if source.startswith("client:"):
        return _strings(_member(_member(claims.get("resource_access"), source.removeprefix("client:")), "roles"))
    return frozenset()


def default_rules(client_id: str, *, names: Iterable[str]) -> tuple[RoleRule, ...]:
    """Without a mapping: client roles of the realm's own client that bear the name of an application role."""
    return tuple(RoleRule(f"client:{client_id}", name, name) for name in sorted(names))


def matching_rules(claims: Mapping[str, Any], *, rules: Iterable[RoleRule]) -> tuple[RoleRule, ...]:
    """The rules that the claims satisfy, in their order."""
    said: dict[str, frozenset[str]] = {}
    matched = []
    for rule in rules:
        if rule.source not in said:
            said[rule.source] = names_of(claims, source=rule.source)
        if rule.value in said[rule.source]:
            matched.append(rule)
    return tuple(matched)


def map_roles(claims: Mapping[str, Any], *, rules: Iterable[RoleRule]) -> frozenset[str]:
    """The application roles that the claims give."""
    return frozenset(rule.role for rule in matching_rules(claims, rules=rules))


def _member(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _strings(value: Any) -> frozenset[str]:
    if not isinstance(value, list):
        return frozenset()
    return frozenset(name for name in value[:MAX_NAMES] if isinstance(name, str))
