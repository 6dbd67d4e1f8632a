"""What became of a token: counted for the metrics, told to the operator's log, and kept for the tenant's admin.

The one place where the precise reason of a refusal leaves the process; never with the token.
"""

from __future__ import annotations

import structlog

from tenants_api.observability.metrics import Metrics
from tenants_api.trust.rejections import Rejections
from tenants_api.verification.errors import KeysUnavailable, TokenError

log = structlog.get_logger("tenants_api.trust")


class Outcomes:
    """Told by whoever verifies a caller's token; `explain`, which an admin asks, is no caller."""

    def __init__(self, metrics: Metrics, *, rejections: Rejections) -> None:
        self._metrics, self._rejections = metrics, rejections

    def accepted(self) -> None:
        """A token that was not known before is good."""
        self._metrics.token_verified("accepted")

    def refused(self, error: TokenError) -> None:
        """A token was refused, or its realm's keys could not be had."""
        refusal = error.refusal
        self._metrics.token_verified("refused", reason=refusal.reason if refusal is not None else error.code)
        if refusal is None:
            return
        if not isinstance(error, KeysUnavailable):  # the realm's trouble says nothing of the token
            self._rejections.note(refusal)
        log.info(
            "token_refused",
            reason=refusal.reason,
            step=refusal.step,
            expected=refusal.expected,
            found=refusal.found,
            tenant=refusal.tenant_slug,
        )
