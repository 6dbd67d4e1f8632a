"""ETags and If-Match (RFC 9110 sections 8.8.3 and 13.1.1): a version number in quotes."""

from __future__ import annotations

import re

from tenants_api.errors import EtagMismatch, IfMatchRequired

_ETAG = re.compile(r'"([0-9]{1,18})"', re.ASCII)


def parse_if_match(header: str | None) -> int | None:
    """The version that the caller expects; None without the header, or with `*`.

    Raises:
        EtagMismatch: the header is no ETag of ours, so it cannot match (a weak one never does).
    """
    if header is None or header.strip() == "*":
        return None
    match = _ETAG.fullmatch(header.strip())
    if match is None:
        raise EtagMismatch("If-Match is not an ETag that this API gave")
    return int(match[1])


def require_if_match(header: str | None) -> int | None:
    """As `parse_if_match`, but the header must be there. Raises IfMatchRequired, EtagMismatch."""
    if header is None:
        raise IfMatchRequired("send the ETag of the last read as If-Match")
    return parse_if_match(header)
