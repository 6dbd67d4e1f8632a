"""Errors of requests to a realm, with a stable reason, both values and a hint."""

from __future__ import annotations

import os
from typing import Literal

_PROXY_VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


class RealmFault(Exception):
    """A realm cannot be reached, or its response is wrong.

    `reason` is one of the stable codes of the onboarding conditions; `message` names the expected and the found value,
    and what to do. It never holds the body of a response.
    """

    def __init__(self, reason: str, *, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(f"{reason}: {message}")


def not_reached(reason: str, *, message: str) -> RealmFault:
    """The fault of a realm that gave no response; names a proxy of the environment, which is not used."""
    ignored = next((name for name in _PROXY_VARIABLES if os.environ.get(name) or os.environ.get(name.lower())), None)
    if ignored is not None:
        message += f"; {ignored} in the environment is not used: realms are reached without a proxy"
    return RealmFault(reason, message=message)


class LoginRefused(Exception):
    """The realm refused a password grant; the response is the same for all.

    `kind` and `error`, one of the codes of RFC 6749 section 5.2 or `other`, are for the operator.
    """

    def __init__(
        self,
        kind: Literal["invalid_credentials", "account_not_ready", "client_refused"],
        *,
        error: str,
        message: str,
    ) -> None:
        self.kind, self.error, self.message = kind, error, message
        super().__init__(message)
