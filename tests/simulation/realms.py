"""Simulated Keycloak realms: what they sign with, what they answer, and the truth about what they ever published."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tests.simulation.loop import Owner, mixed
from tests.simulation.network import Reply
from tests.support.tokens import Key, claims_for, jwks

QUICK = (0.002, 0.05)  # seconds of an answer
PORT = 8080
CLIENT = "tenants-api"
LIFETIME = 300  # seconds of a token


class Spans:
    """Times in which something was so; the last one may still go on."""

    def __init__(self) -> None:
        self._spans: list[list[float | None]] = []

    @property
    def open(self) -> bool:
        return bool(self._spans) and self._spans[-1][1] is None

    def begin(self, now: float) -> None:
        if not self.open:
            self._spans.append([now, None])

    def end(self, now: float) -> None:
        if self.open:
            self._spans[-1][1] = now

    def mark(self, now: float) -> None:
        """A moment in which it was so."""
        if not self.open:
            self._spans.append([now, now])

    def touch(self, low: float, high: float) -> bool:
        """Whether it was so at any time between both."""
        return any(start <= high and (end is None or end >= low) for start, end in reversed(self._spans))  # type: ignore[operator]

    def throughout(self, low: float, high: float) -> bool:
        """Whether it was so all the time between both."""
        return any(start <= low and (end is None or end >= high) for start, end in self._spans)  # type: ignore[operator]

    def last_gap(self, until: float, *, length: float) -> float:
        """The latest time from which on it was not so for `length` seconds before `until`; minus infinity if never."""
        free = until
        for start, end in reversed(self._spans):
            ended = until if end is None else min(end, until)
            if start is not None and start > until:
                continue
            if free - ended >= length:
                return free - length
            free = start if start is not None else free
        return free - length


@dataclass(slots=True)
class Published:
    """A key that a realm listed from `since` to `until` (loop seconds)."""

    key: Key
    since: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A token and what is true of it. `realm` is where it was minted; `serial` names it in a trace."""

    serial: int
    raw: str
    realm: int
    issuer: str
    key: Key
    organizations: tuple[str, ...]
    role: str
    issued_at: int
    expires_at: int
    minted: float


@dataclass(slots=True)
class SimRealm:
    """One realm of one Keycloak. `issuer` is what it says of itself now."""

    number: int
    issuer: str
    listed: list[Key] = field(default_factory=list)
    published: list[Published] = field(default_factory=list)
    not_before: int = 0
    enabled: bool = True
    names: str = "ok"
    connections: str = "ok"
    mode: str = "ok"  # or `slow`, `hanging`, `broken` (500), `empty` (no keys), `cut`
    generation: int = 0
    troubles: Spans = field(default_factory=Spans)
    disabled: Spans = field(default_factory=Spans)
    pushed: list[tuple[float, int]] = field(default_factory=list)
    unchanged_since: float = 0.0  # its issuer, and so all of its keys

    @property
    def host(self) -> str:
        return f"kc{self.number}.example"

    @property
    def address(self) -> str:
        return f"8.8.{self.number}.1"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{PORT}/realms/r{self.number}"

    def rotate(self, now: float) -> Key:
        """Sign with a new key; the old ones stay listed."""
        key = signing_key(self.number, self.generation)
        self.generation += 1
        self.listed.insert(0, key)
        self.published.append(Published(key, now))
        return key

    def withdraw(self, key: Key, now: float) -> None:
        self.listed.remove(key)
        for one in self.published:
            if one.key == key and one.until is None:
                one.until = now

    def become(self, issuer: str, now: float) -> None:
        """Another realm in its place, under another issuer: all keys are new."""
        for key in tuple(self.listed):
            self.withdraw(key, now)
        self.issuer, self.unchanged_since = issuer, now
        self.rotate(now)

    def was_listed(self, key: Key, *, low: float, high: float) -> bool:
        """Whether it published the key at any time between both."""
        return any(
            one.key == key and one.since <= high and (one.until is None or one.until >= low) for one in self.published
        )

    def listed_throughout(self, key: Key, *, low: float, high: float) -> bool:
        return any(
            one.key == key and one.since <= low and (one.until is None or one.until >= high) for one in self.published
        )

    def answer(self, method: str, path: str, *, of: Owner) -> Reply | None:
        """What it is now, on its way for a while."""
        if self.mode == "hanging":
            return None
        delay = of.uniform(0.5, 4.0) if self.mode == "slow" else of.uniform(*QUICK)
        if self.mode == "broken":
            return Reply(500, b"{}", delay)
        if self.mode == "cut":
            return Reply(0, b"", delay)
        status, body = self._document(method, path.removeprefix(f"/realms/r{self.number}"))
        return Reply(status, body, delay)

    def _document(self, method: str, path: str) -> tuple[int, bytes]:
        match method, path:
            case "GET", "/.well-known/openid-configuration":
                return 200, _json({"issuer": self.issuer})
            case "GET", "":
                return 200, _json({"realm": f"r{self.number}", "tokens-not-before": self.not_before})
            case "GET", "/protocol/openid-connect/certs":
                return 200, jwks(*(_jwk(key) for key in self.listed)) if self.mode != "empty" else _json({"keys": []})
            case "POST", "/protocol/openid-connect/token":
                return (400, _json({"error": "invalid_request"})) if self.enabled else (403, _REFUSED)
        return 404, b"{}"

    def mint(
        self,
        serial: int,
        *,
        now: float,
        wall: float,
        issuer: str | None = None,
        key: Key | None = None,
        organizations: tuple[str, ...] = (),
        role: str = "editor",
    ) -> Token:
        """A token of this realm; with `issuer` or `key` one that it would not give out itself."""
        key, issuer = key or self.listed[0], issuer or self.issuer
        claims: dict[str, Any] = claims_for(issuer, now=wall, jti=str(serial), exp=int(wall) + LIFETIME)
        claims["resource_access"] = {CLIENT: {"roles": [role]}}
        if organizations:
            claims["organization"] = list(organizations)
        return Token(
            serial, key.token(claims), self.number, issuer, key, organizations, role,
            int(wall), int(wall) + LIFETIME, now,
        )  # fmt: skip


_REFUSED = b'{"error": "access_denied", "error_description": "Realm not enabled"}'


def signing_key(realm: int, generation: int) -> Key:
    """The n-th key of a realm. All realms give their n-th key the same kid: a kid by itself means nothing."""
    rsa = generation == 0 and realm in (0, 1)
    name = f"simulation-{realm}-{generation}"
    return Key(name, kid=f"key-{generation}", algorithm="RS256" if rsa else "ES256")


def issuer_of(realm: int, *, move: int = 0) -> str:
    return f"https://login.example/realms/r{realm}" + (f"-{move}" if move else "")


@cache
def _jwk(key: Key) -> dict[str, Any]:  # a dict: only read
    return key.jwk()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def new_realm(number: int, *, now: float) -> SimRealm:
    realm = SimRealm(number, issuer_of(number))
    realm.rotate(now)
    return realm


def choose(seed: int, *parts: int | str, among: int) -> int:
    """A number below `among` that follows from a seed and a name."""
    return mixed(seed, *parts) % among
