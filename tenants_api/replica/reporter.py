"""Refused tokens, gathered in memory and written now and then: no flood of tokens becomes a flood of writes.

A token's own words are kept short and without anything that looks like a secret, for an admin to read.
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
from tenants_api.observability.logging import redacted
from tenants_api.observability.metrics import Metrics
from tenants_api.registry.values import KEPT_REJECTIONS, Refused
from tenants_api.replica.storage import RegistryStorage
from tenants_api.tokens.errors import KeysUnavailable, Refusal, TokenError

PAUSE = 2.0  # seconds between two writes
MAX_TENANTS = 1000  # told apart between two writes; what comes after is in the metric and the log alone
# Rows of one tenant in one write, so that a flood pushes out half of what is known at most.
DISTINCT = KEPT_REJECTIONS // 2
MAX_CLAIM_CHARACTERS = 100  # characters of a token's own words
MAX_AUDIENCES = 5
log = structlog.get_logger("tenants_api.replica")


class Rejections:
    """What was refused since the last write."""

    def __init__(self, storage: RegistryStorage, *, clocks: Clocks) -> None:
        self._storage, self._clocks = storage, clocks
        self._seen: dict[uuid.UUID, Counter[Refused]] = {}

    @property
    def size(self) -> int:
        """How many rows the next write would have."""
        return sum(len(counts) for counts in self._seen.values())

    def note(self, refusal: Refusal) -> None:
        """Count one refused token; one whose issuer is nobody's is not kept at all."""
        if refusal.tenant_id is None:
            return
        counts = self._seen.get(refusal.tenant_id)
        if counts is None:
            if len(self._seen) >= MAX_TENANTS:
                return
            counts = self._seen[refusal.tenant_id] = Counter()
        refused = _refused(refusal, tenant_id=refusal.tenant_id)
        if refused not in counts and len(counts) >= DISTINCT:
            refused = Refused(refusal.tenant_id, refusal.reason)  # whoever invents kids gets one row for all of them
        counts[refused] += 1

    async def run(self) -> None:
        """Write what was gathered, for ever."""
        while True:
            await asyncio.sleep(PAUSE)
            await self.flush()

    async def flush(self) -> None:
        """Write what was gathered. Where the database cannot, it is lost: it was a help, and tokens come again."""
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
    told = tuple(text for text in map(_short, audience[:MAX_AUDIENCES]) if text)
    return Refused(tenant_id, refusal.reason, _short(refusal.kid), _short(refusal.authorized_party), told)


def _short(value: Any) -> str:
    """Text for people; whatever is no text is none."""
    return redacted(value, limit=MAX_CLAIM_CHARACTERS) if isinstance(value, str) else ""


class VerificationReporter:
    """The `Reporter` of the verifier; `explain`, which an admin asks, is no caller."""

    def __init__(self, metrics: Metrics, *, rejections: Rejections) -> None:
        self._metrics, self._rejections = metrics, rejections

    def malformed(self, refusal: Refusal) -> None:
        """Count and log a credential that could not be read."""
        self._metrics.token_verified("refused", reason=refusal.reason)
        _log(refusal)

    def accepted(self, *, seconds: float) -> None:
        """Count a token that was not known before."""
        self._metrics.token_verified("accepted", seconds=seconds)

    def refused(self, error: TokenError, *, seconds: float) -> None:
        """Count and log a refusal, and keep it for the tenant's admin."""
        refusal = error.refusal
        reason = refusal.reason if refusal is not None else error.code
        self._metrics.token_verified("refused", reason=reason, seconds=seconds)
        if refusal is None:
            return
        if not isinstance(error, KeysUnavailable):  # the realm's trouble says nothing of the token
            self._rejections.note(refusal)
        _log(refusal)


def _log(refusal: Refusal) -> None:
    log.info(
        "token_refused",
        reason=refusal.reason,
        step=refusal.step,
        expected=refusal.expected,
        found=refusal.found,
        tenant=refusal.tenant_slug,
    )
