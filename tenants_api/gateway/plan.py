"""What a configuration is made of. Every value is checked: it becomes part of a language that is not ours."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tenants_api.keycloak.urls import host_fault
from tenants_api.verification.token import MAX_TOKEN_BYTES

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:]{2,39}\])"
_ADDRESS = re.compile(rf"(?P<host>{_HOST}):(?P<port>[0-9]{{1,5}})")
_SOCKET = re.compile(r"unix:(/[A-Za-z0-9._/-]{1,100})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FOLDER = re.compile(r"/[A-Za-z0-9._/-]{1,200}")


class PlanError(ValueError):
    """A value does not fit; the message names it and what it may be."""


@dataclass(frozen=True, slots=True)
class Address:
    """`host` and `port`, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    socket: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """One door: where it listens, whom it asks, and the service behind it."""

    listen: Address
    authorizer: Address
    upstream: Address
    tenant: str | None = None
    role: str | None = None
    folder: str | None = None
    max_token_bytes: int = MAX_TOKEN_BYTES

    def header_kilobytes(self, *, least: int, beside: int) -> int:
        """The size of a buffer that holds a token and so many kilobytes beside it."""
        return max(least, -(-self.max_token_bytes // 1024) + beside)

    def query(self, *, profile: str | None = None) -> str:
        """The configured options as a query, with its question mark; empty when there are none."""
        options = {"profile": profile, "tenant": self.tenant, "role": self.role}
        text = "&".join(f"{name}={value}" for name, value in options.items() if value)
        return f"?{text}" if text else ""


def plan(
    *,
    listen: str,
    authorizer: str,
    upstream: str,
    tenant: str | None = None,
    role: str | None = None,
    folder: Path | None = None,
    max_token_bytes: int = MAX_TOKEN_BYTES,
) -> Plan:
    """Check and read the values.

    Raises:
        PlanError: one of them is not an address, a name or a plain path.
    """
    for option, value in (("tenant", tenant), ("role", role)):
        if value is not None and not _NAME.fullmatch(value):
            raise PlanError(f"--{option} may hold letters, digits, dot, hyphen and underscore, at most 63")
    if folder is not None and not _FOLDER.fullmatch(str(folder)):
        raise PlanError("--folder must be an absolute path of letters, digits, dot, hyphen, underscore and slash")
    return Plan(
        listen=_address(listen, option="listen", socket=False),
        authorizer=_address(authorizer, option="authorizer", socket=True),
        upstream=_address(upstream, option="upstream", socket=False),
        tenant=tenant,
        role=role,
        folder=str(folder) if folder is not None else None,
        max_token_bytes=max_token_bytes,
    )


def _address(text: str, *, option: str, socket: bool) -> Address:
    path = _SOCKET.fullmatch(text) if socket else None
    if path is not None:
        return Address(socket=path[1])
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found["port"]) < 65536:
        expected = f"expected HOST:PORT{' or unix:/PATH' if socket else ''}"
        raise PlanError(f"--{option} {text[:100]!r} is not accepted: {_wrong_part(text)}; {expected}")
    return Address(found["host"], int(found["port"]))


def _wrong_part(text: str) -> str:
    if "://" in text:
        return "it holds a scheme; give host and port alone"
    if text.startswith("unix:"):
        return (
            "the path may hold letters, digits, dot, hyphen, underscore and slash, and no socket may be used elsewhere"
        )
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return "it has no port"
    if "/" in port:
        return "it holds a path; give host and port alone"
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 0 < int(port) < 65536:
        return f"the port {port[:20]!r} is not a number from 1 to 65535"
    return host_fault(host.lower()) or "the host is not a host name or an IP address"
