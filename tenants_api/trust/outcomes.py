"""What became of a token: counted for the metrics, told to the operator's log, and kept for the tenant's admin.

The one place where the precise reason of a refusal leaves the process; never with the token.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterable

import structlog

from tenants_api.observability.metrics import Metrics
from tenants_api.trust.rejections import Rejections
from tenants_api.verification.credentials import bearer_token_of
from tenants_api.verification.errors import KeysUnavailable, MalformedCredentials, Refusal, TokenError
from tenants_api.verification.principal import Principal

log = structlog.get_logger("tenants_api.trust")


class Outcomes:
    """Told by whoever verifies a caller's token; `explain`, which an admin asks, is no caller."""

    def __init__(self, metrics: Metrics, *, rejections: Rejections, max_token_bytes: int) -> None:
        self._metrics, self._rejections, self._max_token_bytes = metrics, rejections, max_token_bytes

    def token_of(self, headers: Iterable[tuple[bytes, bytes]], *, query: bytes = b"") -> str:
        """The one bearer token of a request, see `bearer_token_of`.

        Raises:
            MissingToken, UriTooLong
            MalformedCredentials: after it was noted like the refusal of a token.
        """
        try:
            return bearer_token_of(headers, query=query, max_bytes=self._max_token_bytes)
        except MalformedCredentials as error:
            self._metrics.token_verified("refused", reason=error.refusal.reason)
            _log(error.refusal)
            raise

    async def of(self, verification: Awaitable[Principal]) -> Principal:
        """The principal of a token that was not known before.

        Raises:
            TokenError: what the verification raised, after it was noted.
        """
        begun = time.perf_counter()
        try:
            principal = await verification
        except TokenError as error:
            self._refused(error, seconds=time.perf_counter() - begun)
            raise
        self._metrics.token_verified("accepted", seconds=time.perf_counter() - begun)
        return principal

    def _refused(self, error: TokenError, *, seconds: float) -> None:
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
