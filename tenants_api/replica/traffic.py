"""Conditions that live traffic shows: whether tokens of a realm name the audience, and whether its users have a role.

A realm is noted once in a process, so an accepted token costs one comparison; notes are stored with the rejections.
Only reasons after the signature check count: an unsigned token changes no condition.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime

import structlog

from tenants_api.clocks import Clocks
from tenants_api.database.errors import StorageError
from tenants_api.observability.logging import redacted
from tenants_api.registry.values import ConditionValue, LearnedConditions
from tenants_api.replica.replica import RegistryReplica
from tenants_api.replica.storage import RegistryStorage
from tenants_api.tokens.errors import Refusal
from tenants_api.tokens.realms import TrustedRealm

MAX_PENDING_REALMS = 1000  # further ones are noted by a later token
MAX_CLAIM_CHARACTERS = 100
_ACCEPTED, _MAPPED, _REFUSED = 1, 2, 4  # bits of `TrustedRealm.observed`
log = structlog.get_logger("tenants_api.replica")


class Traffic:
    """What tokens have shown of realms since the last write."""

    def __init__(
        self, storage: RegistryStorage, *, replica: RegistryReplica, roles: Iterable[str], clocks: Clocks
    ) -> None:
        self._storage, self._replica, self._clocks = storage, replica, clocks
        self._roles = ", ".join(sorted(roles))
        self._failing = False  # an outage is logged once
        self._pending: dict[uuid.UUID, tuple[TrustedRealm, dict[str, ConditionValue]]] = {}

    def __len__(self) -> int:
        """How many realms the next write is about."""
        return len(self._pending)

    def accepted(self, realm: TrustedRealm, *, has_role: bool) -> None:
        """Note an accepted token of a user with or without a role of the application."""
        bits = _ACCEPTED | _MAPPED if has_role else _ACCEPTED
        if realm.observed & bits == bits:
            return
        named = f"a token was accepted: it names one of {', '.join(sorted(realm.audiences))}"
        conditions = [ConditionValue("AudienceConfigured", "True", "TokenAccepted", named)]
        if has_role:
            mapped = "a token was accepted whose user has a role of the application"
            conditions.append(ConditionValue("RolesMapped", "True", "RoleMapped", mapped))
        elif not realm.observed & _MAPPED:
            message = (
                "tokens are accepted, but no user has a role of the application; expected one of "
                f"{self._roles}: "
                + (
                    "correct the tenant's role mapping"
                    if realm.rules
                    else f"give users a client role of {realm.client_id} with such a name, or set a role mapping"
                )
            )
            conditions.append(ConditionValue("RolesMapped", "False", "NoRoleMapped", message))
        self._note(realm, bits, conditions)

    def refused(self, refusal: Refusal) -> None:
        """Note a token that was refused for its audience, if none of its realm was accepted."""
        if refusal.reason != "wrong_audience" or refusal.realm_id is None:
            return
        realm = self._replica.realm_by_id(refusal.realm_id)
        if realm is None or realm.observed & (_ACCEPTED | _REFUSED):
            return
        party = _short(refusal.authorized_party) or "(no azp)"
        listed = refusal.audience if isinstance(refusal.audience, list) else [refusal.audience]
        message = (
            f"tokens are refused: aud is {[_short(one) for one in listed[:5]]}, expected one of "
            f"{', '.join(sorted(realm.audiences))}: add an audience mapper for {realm.client_id} to client {party}"
        )
        self._note(realm, _REFUSED, [ConditionValue("AudienceConfigured", "False", "TokensRefused", message)])

    async def flush(self) -> None:
        """Store what was noted; what the database cannot take now is stored later."""
        pending, self._pending = self._pending, {}
        learned = []
        for realm, conditions in pending.values():
            tenant = self._replica.tenant_of(realm.id)
            if tenant is not None and self._replica.realm_by_id(realm.id) is realm:  # else its successor is noted
                learned.append(LearnedConditions(realm.id, tenant.changed_version, tuple(conditions.values())))
        if not learned:
            return
        later = {one.realm_id for one in learned}
        try:
            later = await self._storage.learn_conditions(learned, now=datetime.fromtimestamp(self._clocks.wall(), UTC))
            self._failing = False
        except StorageError as error:
            if not self._failing:
                log.warning("conditions_not_stored", realms=len(learned), error=error.cause)
            self._failing = True
        for realm_id in later:
            realm, conditions = pending[realm_id]
            present = self._pending.get(realm_id)
            if present is None or present[0] is realm:
                self._pending[realm_id] = (realm, conditions | (present[1] if present is not None else {}))

    def _note(self, realm: TrustedRealm, bits: int, conditions: Iterable[ConditionValue]) -> None:
        pending = self._pending.get(realm.id)
        if pending is None or pending[0] is not realm:
            if len(self._pending) >= MAX_PENDING_REALMS:
                return
            pending = self._pending[realm.id] = (realm, {})
        realm.observed |= bits
        for condition in conditions:
            pending[1][condition.type] = condition


def _short(value: object) -> str:
    return redacted(value, limit=MAX_CLAIM_CHARACTERS) if isinstance(value, str) else ""
