"""What became of a token: counted for the metrics, told to the operator's log, and kept for the tenant's admin.

The one place where the precise reason of a refusal leaves the process; never with the token.
"""

from __future__ import annotations

import structlog

from tenants_api.observability.metrics import Metrics
from tenants_api.trust.rejections import Rejections
from tenants_api.verification.errors import KeysUnavailable, Refusal, TokenError

log = structlog.get_logger("tenants_api.trust")


class Outcomes:
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
