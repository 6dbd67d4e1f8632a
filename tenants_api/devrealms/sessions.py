"""Logins in progress and logins that ended: authorization codes and session ids. Knows no tokens and no HTTP."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Final

CODE_SECONDS: Final = 60
_MAX_CODES: Final = 1000


@dataclass(frozen=True, slots=True)
class Login:
    """What the authorization endpoint learned; the token endpoint compares the rest of it."""

    username: str
    client_id: str
    redirect_uri: str
    scope: str
    sid: str
    at: float
    nonce: str | None = None
    challenge: str | None = None
    challenge_method: str = "plain"


@dataclass(slots=True)
class Sessions:
    """Codes are good once and for 60 s. A session lives until it is ended, also the one of a token that `mint` made."""

    _codes: dict[str, Login] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)

    def issue_code(self, login: Login) -> str:
        """A code for a login; the oldest code goes when there are 1,000 unused ones."""
        code = f"{secrets.token_urlsafe(24)}.{login.sid}"
        while len(self._codes) >= _MAX_CODES:
            del self._codes[next(iter(self._codes))]
        self._codes[code] = login
        return code

    def redeem(self, code: str, *, now: float) -> Login | None:
        """The login of a code, once; None for an unknown, used or expired one."""
        login = self._codes.pop(code, None)
        return login if login is not None and now - login.at <= CODE_SECONDS else None

    def end(self, sid: str) -> None:
        self._ended.add(sid)

    def is_live(self, sid: str) -> bool:
        return sid not in self._ended
