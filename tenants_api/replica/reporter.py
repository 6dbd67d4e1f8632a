"""Counts, logs and stores the results of verifications.

Refused tokens are counted in memory and stored every two seconds, so that a flood of tokens is no flood of writes.
Values of a token are shortened and redacted.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import structlog

from tenants_api.clocks import Clocks
from tenants_api.database.errors import StorageError
from tenants_api.observability.logging import redacted, request_fields
from tenants_api.observability.metrics import Metrics
from tenants_api.registry.values import MAX_REJECTIONS_PER_TENANT, Refused
from tenants_api.replica.storage import RegistryStorage
from tenants_api.replica.traffic import Traffic
from tenants_api.tokens.authenticator import Authenticated
from tenants_api.tokens.errors import KeysUnavailable, Refusal, TokenError

WRITE_INTERVAL_SECONDS = 2.0
MAX_TENANTS_PER_WRITE = 1000  # refusals of further ones are only in metric and log
MAX_ROWS_PER_TENANT = MAX_REJECTIONS_PER_TENANT // 2  # in one write: a flood evicts half of the stored ones at most
MAX_CLAIM_CHARACTERS = 100
MAX_AUDIENCES = 5
log = structlog.get_logger("tenants_api.replica")


class Rejections:
    """Counts of refused tokens since the last write."""

    def __init__(self, storage: RegistryStorage, *, clocks: Clocks) -> None:
        self._storage, self._clocks = storage, clocks
        self._seen: dict[uuid.UUID, Counter[Refused]] = {}

    @property
    def size(self) -> int:
        """How many rows the next write has."""
        return sum(len(counts) for counts in self._seen.values())

    def note(self, refusal: Refusal) -> None:
        """Count one refused token; those of unknown issuers are ignored."""
        if refusal.tenant_id is None:
            return
        counts = self._seen.get(refusal.tenant_id)
        if counts is None:
            if len(self._seen) >= MAX_TENANTS_PER_WRITE:
                return
            counts = self._seen[refusal.tenant_id] = Counter()
        refused = _refused(refusal, tenant_id=refusal.tenant_id)
        if refused not in counts and len(counts) >= MAX_ROWS_PER_TENANT:
            refused = Refused(refusal.tenant_id, refusal.reason)  # one row for the rest, such as invented kids
        counts[refused] += 1

    async def flush(self) -> None:
        """Store the counts; they are lost when the database cannot be written."""
        if not self._seen:
            return
        seen, self._seen = self._seen, {}
        counts = {refused: count for several in seen.values() for refused, count in several.items()}
        try:
            await self._storage.add_rejections(counts, now=datetime.fromtimestamp(self._clocks.wall(), UTC))
        except StorageError as error:
            log.warning("rejections_not_written", rows=len(counts), error=error.cause)


def _refused(refusal: Refusal, *, tenant_id: uuid.UUID) -> Refused:
    audience = refusal.audience if isinstance(refusal.audience, list) else [refusal.audience]
    shown = tuple(text for text in map(_short, audience[:MAX_AUDIENCES]) if text)
    return Refused(tenant_id, refusal.reason, _short(refusal.kid), _short(refusal.authorized_party), shown)


def _short(value: Any) -> str:
    """A shortened and redacted string; empty for any other type."""
    return redacted(value, limit=MAX_CLAIM_CHARACTERS) if isinstance(value, str) else ""


class VerificationReporter:
    """The `Reporter` of the verifier: metrics, log, rejections and the conditions that traffic shows."""

    def __init__(self, metrics: Metrics, *, rejections: Rejections, traffic: Traffic) -> None:
        self._metrics, self.rejections, self.traffic = metrics, rejections, traffic

    async def run(self) -> None:
        """Flush for ever."""
        while True:
            await asyncio.sleep(WRITE_INTERVAL_SECONDS)
            await self.flush()

    async def flush(self) -> None:
        """Store what was noted since the last time."""
        await self.rejections.flush()
        await self.traffic.flush()

    def malformed(self, refusal: Refusal) -> None:
        """Count and log a malformed credential."""
        self._metrics.token_verified("refused", reason=refusal.reason)
        _log(refusal)

    def accepted(self, found: Authenticated, *, seconds: float) -> None:
        """Count an accepted token that was not in the cache."""
        self.traffic.accepted(found.realm, has_role=bool(found.principal.roles))
        self._metrics.token_verified("accepted", seconds=seconds)

    def refused(self, error: TokenError, *, seconds: float) -> None:
        """Count and log a refusal, and add it to the tenant's rejections."""
        refusal = error.refusal
        reason = refusal.reason if refusal is not None else error.code
        self._metrics.token_verified("refused", reason=reason, seconds=seconds)
        if refusal is None:
            return
        if not isinstance(error, KeysUnavailable):  # a fault of the realm, not of the token
            self.rejections.note(refusal)
            self.traffic.refused(refusal)
        _log(refusal)


def _log(refusal: Refusal) -> None:
    log.info(
        "token_refused",
        reason=refusal.reason,
        step=refusal.step,
        expected=refusal.expected,
        found=refusal.found,
        tenant=refusal.tenant_slug,
        **request_fields(),
    )
