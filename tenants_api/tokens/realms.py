"""All trusted realms in memory, by issuer. A look-up has no I/O, no lock and no await."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from tenants_api.role_rules import RoleRule
from tenants_api.tokens.decode import refuse
from tenants_api.tokens.principal import RoleTable, TenantRef

MUTABLE_FIELDS = frozenset({"epoch", "renew_at", "role_table", "observed"})


@dataclass(eq=False, slots=True)
class TrustedRealm:
    """One registered issuer, as the registry has it now; only `MUTABLE_FIELDS` change.

    `epoch` grows when tokens that were verified before must be verified again (a key left the set, not-before changed,
    the registry row was replaced). `renew_at` (monotonic seconds) is when its keys are to be renewed. `role_table` is
    made from `rules` at the first use. `observed` has the bits of what its tokens have shown (`replica.traffic`).
    """

    id: uuid.UUID
    tenant: TenantRef
    issuer: str
    realm_url: str
    client_id: str
    audiences: frozenset[str]
    organization: str | None = None
    authorized_parties: frozenset[str] = frozenset()
    algorithms: frozenset[str] = frozenset({"RS256"})
    rules: tuple[RoleRule, ...] = ()
    ca_bundle: str | None = None
    not_before: int = 0
    suspended: bool = False
    login_client_id: str | None = None
    docs_client_id: str | None = None
    epoch: int = field(default=0)
    renew_at: float = field(default=0.0)
    role_table: RoleTable | None = field(default=None, init=False, repr=False)
    observed: int = field(default=0, init=False, repr=False)

    def forget_verified(self) -> None:
        """Invalidate every cached token of this realm."""
        self.epoch += 1


class RealmLookup(Protocol):
    """Finds the realm that a token names, in memory and without I/O."""

    def find(self, issuer: str, *, organization: Any = None, tenant: str | None = None) -> TrustedRealm | None:
        """The one realm registered under exactly this issuer (and organization claim), or None.

        `organization` is the token's claim in any of Keycloak's three shapes. `tenant` is the slug in the request's
        path: it chooses among several registered organizations that the token names.

        Raises:
            InvalidToken: `unknown_organization`, the issuer has or had registered organizations and the token names
                none that is active; `several_organizations`, it names more than one and the path chooses none of them.
        """

    def serves(self, issuer: str) -> bool:
        """Whether any realm of this issuer is trusted, also when tokens need an organization."""


# Most issuers belong to one tenant as a whole; only shared ones have a dictionary of their organizations.
_Entry = TrustedRealm | dict[str | None, TrustedRealm]


class Snapshot:
    """Implements `RealmLookup`; realms are added and removed by id."""

    __slots__ = ("_by_id", "_by_issuer", "_shared")

    def __init__(self) -> None:
        self._by_issuer: dict[str, _Entry] = {}
        self._shared: set[str] = set()
        self._by_id: dict[uuid.UUID, TrustedRealm] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[TrustedRealm]:
        return iter(tuple(self._by_id.values()))

    def get(self, realm_id: uuid.UUID) -> TrustedRealm | None:
        return self._by_id.get(realm_id)

    def share(self, issuer: str) -> None:
        """Mark an issuer that has, or had, a registered organization in any state; this is never undone.

        From then on a token that names organizations belongs to one of them or is refused, never to the tenant of the
        whole realm.
        """
        if issuer in self._shared:
            return
        self._shared.add(issuer)
        entry = self._by_issuer.get(issuer)
        if isinstance(entry, TrustedRealm):
            entry.forget_verified()

    def find(self, issuer: str, *, organization: Any = None, tenant: str | None = None) -> TrustedRealm | None:
        """See `RealmLookup`."""
        entry = self._by_issuer.get(issuer)
        if entry is None or (isinstance(entry, TrustedRealm) and issuer not in self._shared):
            return entry
        if isinstance(entry, TrustedRealm):
            entry = {entry.organization: entry}
        if organization is None or organization in ([], {}):
            return entry.get(None)
        names = organizations(organization)
        return _chosen([entry[name] for name in names if name in entry], names=names, tenant=tenant)

    def serves(self, issuer: str) -> bool:
        """See `RealmLookup`."""
        return issuer in self._by_issuer

    def put(self, realm: TrustedRealm) -> None:
        """Add the realm, in place of an earlier one with its id."""
        self.remove(realm.id)
        if realm.organization is not None:
            self.share(realm.issuer)
        self._by_id[realm.id] = realm
        entry = self._by_issuer.get(realm.issuer)
        if isinstance(entry, dict):
            entry[realm.organization] = realm
        elif entry is None or entry.organization == realm.organization:
            self._by_issuer[realm.issuer] = realm
        else:
            self._by_issuer[realm.issuer] = {entry.organization: entry, realm.organization: realm}

    def remove(self, realm_id: uuid.UUID) -> TrustedRealm | None:
        """Remove the realm and invalidate its cached tokens; a later realm of the same issuer remains."""
        realm = self._by_id.pop(realm_id, None)
        if realm is None:
            return None
        realm.forget_verified()
        entry = self._by_issuer.get(realm.issuer)
        if isinstance(entry, dict) and entry.get(realm.organization) is realm:
            del entry[realm.organization]
        if entry is realm or entry == {}:
            del self._by_issuer[realm.issuer]
        return realm


def _chosen(named: list[TrustedRealm], *, names: tuple[str, ...], tenant: str | None) -> TrustedRealm:
    """The one realm among those whose organizations the token names. Raises InvalidToken."""
    if not named:
        expected = "a registered organization of the issuer that is not deleted, draft or disabled"
        refuse("organization", "unknown_organization", expected=expected, found=_shown(names))
    if len(named) > 1:
        chosen = [realm for realm in named if realm.tenant.slug == tenant]
        if len(chosen) != 1:
            expected = "one registered organization, or a path below /t/{slug} that chooses among those of the token"
            found = _shown(realm.organization or "" for realm in named)
            refuse("organization", "several_organizations", expected=expected, found=found)
        return chosen[0]
    return named[0]


def _shown(names: Iterable[str]) -> list[str]:
    return [name[:100] for name in names][:10]


def organizations(claim: Any) -> tuple[str, ...]:
    """The aliases in Keycloak's organization claim: a list of strings, an object by alias, or one string."""
    if isinstance(claim, str):
        return (claim,)
    if isinstance(claim, list | dict):
        return tuple(dict.fromkeys(name for name in claim if isinstance(name, str)))
    return ()
