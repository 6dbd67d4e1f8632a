"""What became of a token: counted for the metrics, told to the operator's log, and kept for the tenant's admin.

The one place where the precise reason of a refusal leaves the process; never with the token.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import structlog

from tenants_api.observability.metrics import Metrics
from tenants_api.trust.rejections import Rejections
from tenants_api.verification.credentials import BEARER, Credential, credential_of
from tenants_api.verification.errors import KeysUnavailable, MalformedCredentials, Refusal, TokenError

log = structlog.get_logger("tenants_api.trust")


class Outcomes:
    """Told by the verifier of a caller's token; `explain`, which an admin asks, is no caller."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        rejections: Rejections,
        max_token_bytes: int,
        schemes: Collection[str] = (BEARER,),
    ) -> None:
        self._metrics, self._rejections = metrics, rejections
        self._max_token_bytes, self._schemes = max_token_bytes, schemes

    def credential_of(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        query: bytes = b"",
        method: str | None = None,
        url: str | None = None,
    ) -> Credential:
        """The one credential of a request, see `credential_of` of the credentials.

        Raises:
            MissingToken, UriTooLong
            MalformedCredentials: after it was noted like the refusal of a token.
        """
        try:
            return credential_of(
                headers,
                query=query,
                method=method,
                url=url,
                schemes=self._schemes,
                max_bytes=self._max_token_bytes,
            )
        except MalformedCredentials as error:
            self._metrics.token_verified("refused", reason=error.refusal.reason)
            _log(error.refusal)
            raise

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
