"""Errors of requests to a realm, with a stable reason, both values and a hint."""

from __future__ import annotations

from typing import Literal


class RealmFault(Exception):
    """A realm cannot be reached, or its response is wrong.

    `reason` is one of the stable codes of the onboarding conditions; `message` names the expected and the found value,
    and what to do. It never holds the body of a response.
    """

    def __init__(self, reason: str, *, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(f"{reason}: {message}")


class LoginRefused(Exception):
    """The realm refused a password grant. `kind` is for the operator: the response is the same for all."""

    def __init__(
        self, kind: Literal["invalid_credentials", "account_not_ready", "client_refused"], *, message: str
    ) -> None:
        self.kind, self.message = kind, message
        super().__init__(message)
