"""All trusted realms in memory, by issuer. Reading it is a dictionary look-up: no I/O, no lock, no await."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from tenants_api.verification.realms import TrustedRealm

MAX_ORGANIZATIONS = 200  # names of a token's organization claim that are looked at

# Most issuers belong to one tenant as a whole; only shared ones pay for a dictionary of their organizations.
_Entry = TrustedRealm | dict[str | None, TrustedRealm]


class Snapshot:
    """Implements `RealmLookup`. Realms are put in and taken out by their own id."""

    __slots__ = ("_by_id", "_by_issuer")

    def __init__(self) -> None:
        self._by_issuer: dict[str, _Entry] = {}
        self._by_id: dict[uuid.UUID, TrustedRealm] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[TrustedRealm]:
        return iter(tuple(self._by_id.values()))

    def get(self, realm_id: uuid.UUID) -> TrustedRealm | None:
        return self._by_id.get(realm_id)

    def find(self, issuer: str, *, organization: Any = None) -> TrustedRealm | None:
        """The realm of exactly this issuer; where tenants share it, the one whose organization the token names."""
        entry = self._by_issuer.get(issuer)
        if entry is None or isinstance(entry, TrustedRealm):
            if entry is None or entry.organization is None:
                return entry
            entry = {entry.organization: entry}
        named = [entry[name] for name in organizations(organization) if name in entry]
        if len(named) > 1:
            return None  # the token speaks for several tenants: whose it is must not be guessed
        return named[0] if named else entry.get(None)

    def put(self, realm: TrustedRealm) -> None:
        """Add the realm, in place of an earlier one with its id."""
        self.remove(realm.id)
        self._by_id[realm.id] = realm
        entry = self._by_issuer.get(realm.issuer)
        if isinstance(entry, dict):
            entry[realm.organization] = realm
        elif entry is None or entry.organization == realm.organization:
            self._by_issuer[realm.issuer] = realm
        else:
            self._by_issuer[realm.issuer] = {entry.organization: entry, realm.organization: realm}

    def remove(self, realm_id: uuid.UUID) -> TrustedRealm | None:
        """Take the realm out; every token that was verified for it must be verified again.

        Another realm that was put in its place under its issuer stays there.
        """
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


def organizations(claim: Any) -> Iterable[str]:
    """The aliases in Keycloak's organization claim: a list of texts, an object by alias, or one text."""
    if isinstance(claim, str):
        return (claim,)
    if isinstance(claim, list | dict):
        return tuple(dict.fromkeys(name for name in list(claim)[:MAX_ORGANIZATIONS] if isinstance(name, str)))
    return ()
