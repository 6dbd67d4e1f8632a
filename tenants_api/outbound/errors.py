"""What can go wrong with a realm, with a stable reason, both values and the cure."""

from __future__ import annotations

from typing import Literal


class RealmFault(Exception):
    """A realm cannot be reached or answered wrongly.

    `reason` is one of the stable codes of the onboarding conditions; `message` names what was asked and what was
    seen, and the cure. It never holds the body of an answer.
    """

    def __init__(self, reason: str, *, message: str) -> None:
        self.reason, self.message = reason, message
        super().__init__(f"{reason}: {message}")


class LoginRefused(Exception):
    """The realm refused a password grant. `kind` is for the operator: outside, all of them look alike."""

    def __init__(
        self, kind: Literal["invalid_credentials", "account_not_ready", "client_refused"], *, message: str
    ) -> None:
        self.kind, self.message = kind, message
        super().__init__(message)
