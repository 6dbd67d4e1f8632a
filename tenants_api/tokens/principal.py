"""The principal, and the role mapping from a token's claims to the application's roles.

A role that no rule names grants nothing; nor does a role of another client.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tenants_api.role_rules import RoleRule
from tenants_api.tokens.decode import VerifiedClaims


@dataclass(frozen=True, slots=True)
class TenantRef:
    """The tenant that a principal belongs to; `id` never changes, slug and name may."""

    id: uuid.UUID
    slug: str
    name: str


class Principal(NamedTuple):
    """The verified caller, with its tenant and its mapped roles.

    Identify users by (issuer, subject): `subject` is unique within an issuer only, of which a tenant may have several;
    username and email can change (OpenID Connect Core section 5.7). What the token lacks is None. `expires_at` is epoch
    seconds, a fraction rounded down. `scope` is the token's own text.
    """

    tenant: TenantRef
    issuer: str
    organization: str | None
    subject: str
    roles: frozenset[str]
    username: str | None
    email: str | None
    email_verified: bool | None
    full_name: str | None
    authorized_party: str | None
    scope: str | None
    expires_at: int
    service_account: bool

    @property
    def scopes(self) -> tuple[str, ...]:
        """The values in `scope` (RFC 6749 section 3.3)."""
        # Not stored: two thousand values in a cached principal would take a hundred kilobytes.
        return tuple(filter(None, self.scope.split(" "))) if self.scope else ()


MAX_SHARED_ROLE_SETS = 256  # combinations of roles that principals share


@dataclass(frozen=True, slots=True)
class RoleModel:
    """The roles that an application knows, and what each one includes.

    `RoleModel({"admin": {"editor"}, "editor": {"viewer"}, "viewer": set()})` reads admin ⊃ editor ⊃ viewer.
    """

    includes: Mapping[str, Iterable[str]]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.includes)

    def as_lists(self) -> dict[str, list[str]]:
        """Each role with those that it includes directly, sorted: the value of `TENANTS_ROLES`."""
        return {role: sorted(self.includes[role]) for role in sorted(self.includes)}

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


def roles_of_process(in_code: RoleModel | None, *, in_settings: Mapping[str, Iterable[str]] | None) -> RoleModel:
    """The roles of this process: those of the application's code or of `TENANTS_ROLES`, otherwise the sample's.

    Raises:
        ValueError: both are given and differ; the command line and forward auth would decide by other roles.
    """
    configured = RoleModel(in_settings) if in_settings is not None else None
    if in_code is None:
        return configured or SAMPLE_ROLES
    if configured is not None and configured.as_lists() != in_code.as_lists():
        raise ValueError(
            f"TENANTS_ROLES holds {json.dumps(configured.as_lists())}, and the application has "
            f"{json.dumps(in_code.as_lists())}; set the variable to the application's, or pass no roles in the code"
        )
    return in_code


def names_of(claims: Mapping[str, Any], *, source: str) -> frozenset[str]:
    """The names in a token for one source of a rule; values of an unexpected type are ignored."""
    return frozenset(_names_at(claims, path=_path_of(source)))


def _path_of(source: str) -> tuple[str, ...]:
    """The path of a source's names in Keycloak's claims."""
    if source.startswith("client:"):
        return ("resource_access", source.removeprefix("client:"), "roles")
    return {"realm": ("realm_access", "roles"), "group": ("groups",), "scope": ("scope",)}.get(source, ())


def _names_at(claims: Mapping[str, Any], *, path: tuple[str, ...]) -> list[str]:
    """All names at a path. The token's size is their only bound: one that was left out could be the required one."""
    found: Any = claims
    for member in path:
        found = found.get(member) if isinstance(found, dict) else None
    if path == ("scope",):
        # RFC 6749 section 3.3: one string, split at single spaces.
        return [name for name in found.split(" ") if name] if isinstance(found, str) else []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def default_rules(client_id: str, *, names: Iterable[str]) -> tuple[RoleRule, ...]:
    """The mapping of a tenant without one: roles of this API's client that have the name of an application role."""
    return tuple(RoleRule(f"client:{client_id}", name, name) for name in sorted(names))


def matching_rules(claims: Mapping[str, Any], *, rules: Iterable[RoleRule]) -> tuple[RoleRule, ...]:
    """The rules that the claims satisfy, in their order."""
    rules = tuple(rules)
    names = {source: names_of(claims, source=source) for source in {rule.source for rule in rules}}
    return tuple(rule for rule in rules if rule.value in names[rule.source])


class RoleTable:
    """One realm's rules as a table: name to roles, by source."""

    __slots__ = ("_by_path", "_sets")

    def __init__(self, rules: Iterable[RoleRule], *, names: frozenset[str]) -> None:
        """`names` are the application's roles; rules for others grant nothing."""
        self._by_path: dict[tuple[str, ...], dict[str, set[str]]] = {}
        for rule in rules:
            if rule.role in names:
                self._by_path.setdefault(_path_of(rule.source), {}).setdefault(rule.value, set()).add(rule.role)
        self._sets: dict[frozenset[str], frozenset[str]] = {}

    def roles_of(self, claims: VerifiedClaims) -> frozenset[str]:
        """The application roles that the claims give. Users with the same roles share one set."""
        held: list[str] = []
        for path, table in self._by_path.items():
            for name in _names_at(claims, path=path):
                if name in table:
                    held += table[name]
        roles = frozenset(held)
        shared = self._sets.get(roles)
        if shared is not None:
            return shared
        if len(self._sets) < MAX_SHARED_ROLE_SETS:
            self._sets[roles] = roles
        return roles
