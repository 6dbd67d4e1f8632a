"""The complete configuration of a proxy in front of forward auth, from a plan."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from pathlib import Path
from string import Template

from tenants_api.forward_auth.identity import ASSERTION, IDENTITY_HEADERS
from tenants_api.outbound.urls import host_fault
from tenants_api.tokens.decode import MAX_TOKEN_BYTES

_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:]{2,39}\])"
_ADDRESS = re.compile(rf"(?P<host>{_HOST}):(?P<port>[0-9]{{1,5}})")
_SOCKET = re.compile(r"unix:(/[A-Za-z0-9._/-]{1,100})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FOLDER = re.compile(r"/[A-Za-z0-9._/-]{1,200}")


class PlanError(ValueError):
    """A value is not accepted; the message names the option and the values that are."""


@dataclass(frozen=True, slots=True)
class Address:
    """`host` and `port`, or the path of a Unix socket."""

    host: str = ""
    port: int = 0
    socket: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """A gateway: its address, its authorizer and its upstream service."""

    listen: Address
    authorizer: Address
    upstream: Address
    tenant: str | None = None
    role: str | None = None
    folder: str | None = None
    max_token_bytes: int = MAX_TOKEN_BYTES

    def header_kilobytes(self, *, least: int, beside: int) -> int:
        """The size of a buffer for a token and `beside` KiB of other headers, at least `least`."""
        return max(least, -(-self.max_token_bytes // 1024) + beside)

    def query(self, *, profile: str | None = None) -> str:
        """The options as a query with its question mark; empty without options."""
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
    """Check and parse the values.

    Raises:
        PlanError: a value is not an address, a name or an absolute path.
    """
    for option, value in (("tenant", tenant), ("role", role)):
        if value is not None and not _NAME.fullmatch(value):
            expected = "expected 1 to 63 letters, digits, dots, hyphens and underscores"
            raise PlanError(f"--{option} {value[:100]!r} is not accepted; {expected}")
    if folder is not None and not _FOLDER.fullmatch(str(folder)):
        expected = "expected an absolute path of letters, digits, dots, hyphens, underscores and slashes"
        raise PlanError(f"--folder {str(folder)[:100]!r} is not accepted; {expected}")
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
        return "it has a scheme"
    if text.startswith("unix:"):
        return "only --authorizer may be a socket, with a path of letters, digits, `.`, `-`, `_` and `/`"
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        return "it has no port"
    if "/" in port:
        return "it has a path"
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 0 < int(port) < 65536:
        return f"the port {port[:20]!r} is not a number from 1 to 65535"
    return host_fault(host.lower()) or "the host is not a host name or an IP address"


# Set by forward auth; the assertion only if it is enabled.
FORWARDED_HEADERS = (*IDENTITY_HEADERS, ASSERTION)
# Set by other authorizers, and trusted by services written for those; the last one requests an HTTP/2 tunnel.
FOREIGN_HEADERS = (
    "X-Auth-Request-Groups",
    "X-Auth-Request-Access-Token",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Access-Token",
    "X-Remote-User",
    "X-Scope-OrgID",
    "Remote-User",
    "Forwarded",
    "HTTP2-Settings",
)
# Headers that a service may trust for the client's address, certificate or path; `Proxy` is HTTP_PROXY in CGI.
CLIENT_HEADERS = (
    "Client-Cert",
    "Client-Cert-Chain",
    "Proxy",
    "SSL-Client-Cert",
    "True-Client-IP",
    "X-Client-Cert",
    "X-Client-IP",
    "X-Forwarded-Client-Cert",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Tls-Client-Cert",
    "X-Forwarded-Tls-Client-Cert-Info",
    "X-Original-URI",
    "X-Original-URL",
    "X-Real-IP",
    "X-Rewrite-URL",
    "X-SSL-Client-Cert",
)
SET_BY_TRAEFIK = frozenset({"X-Forwarded-Port", "X-Forwarded-Server", "X-Real-IP"})
CLEARED_HEADERS = (*FORWARDED_HEADERS, *FOREIGN_HEADERS, *CLIENT_HEADERS)
# Other characters of a header's name than letters, digits and hyphens (`token`, RFC 9110 section 5.6.2).
SEPARATORS = "!#$%&'*+.^_`|~"


def aliases(name: str, *, separators: str = "_.") -> list[str]:
    """The name's other spellings, with one of `separators` in place of at least one hyphen."""
    words = name.split("-")
    found = []
    for between in product(f"-{separators}", repeat=len(words) - 1):
        found.append("".join(map("".join, zip(words, (*between, ""), strict=True))))
    return found[1:]


_TEMP = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class _Template(Template):
    """A template with `§name`: the languages of the proxies use `$`, `@` and braces, and none uses `§`."""

    delimiter = "§"


def render(proxy: str, *, plan: Plan) -> str:
    """The configuration of `nginx`, `caddy`, `traefik` or `envoy`.

    Raises:
        PlanError: the proxy does not support the plan.
    """
    template, values = _PROXIES[proxy]
    text = files("tenants_api.forward_auth").joinpath("templates", template).read_text(encoding="utf-8")
    return _Template(text).substitute(values(plan))


def _nginx(plan: Plan) -> Mapping[str, str]:
    variables = {name: name.lower().replace("-", "_") for name in FORWARDED_HEADERS}
    folder = plan.folder
    return {
        "main": f"pid {folder}/nginx.pid;\nerror_log stderr warn;\n" if folder else "",
        "temp": _lines((f"{kind}_temp_path {folder}/{kind};" for kind in _TEMP), indent=4) if folder else "",
        "log": "off" if folder else "/var/log/nginx/access.log gateway",
        "listen": _host_port(plan.listen),
        "authorizer": f"unix:{plan.authorizer.socket}" if plan.authorizer.socket else _host_port(plan.authorizer),
        "upstream": _host_port(plan.upstream),
        "query": plan.query(profile="nginx"),
        "header_buffer": f"{plan.header_kilobytes(least=16, beside=8)}k",  # of one header line
        "take": _lines((f"auth_request_set ${own} $upstream_http_{own};" for own in variables.values()), indent=12),
        "give": _lines((f"proxy_set_header {name} ${own};" for name, own in variables.items()), indent=12),
        "clear": _lines((f'proxy_set_header {name} "";' for name in (*FOREIGN_HEADERS, *CLIENT_HEADERS)), indent=12),
    }


def _caddy(plan: Plan) -> Mapping[str, str]:
    socket = plan.authorizer.socket
    return {
        "listen": _host_port(plan.listen),
        "bind": plan.listen.host,
        "port": str(plan.listen.port),
        "authorizer": f"unix/{socket}" if socket else _host_port(plan.authorizer),
        "upstream": _host_port(plan.upstream),
        "query": plan.query(),
        "aliases": "\n".join(f"\t\trequest_header -*{sign}*" for sign in SEPARATORS),
        "clear": "\n".join(f"\t\trequest_header -{name}" for name in CLEARED_HEADERS),
        "passed_on": " ".join(FORWARDED_HEADERS),
        "assertion": ASSERTION,
    }


def _traefik(plan: Plan) -> Mapping[str, str]:
    if plan.authorizer.socket:
        raise PlanError(
            "--authorizer is a Unix socket, which Traefik's ForwardAuth does not support; expected HOST:PORT"
        )
    return {
        "listen": _host_port(plan.listen),
        "authorizer": _host_port(plan.authorizer),
        "upstream": _host_port(plan.upstream),
        "query": plan.query(),
        "clear": _lines((f'{name}: ""' for name in _with_aliases()), indent=10),
        "passed_on": _lines((f"- {name}" for name in FORWARDED_HEADERS), indent=10),
    }


def _envoy(plan: Plan) -> Mapping[str, str]:
    return {
        "listen": _envoy_address(plan.listen),
        "authorizer": _envoy_address(plan.authorizer),
        "discovery": "STATIC" if plan.authorizer.socket else "STRICT_DNS",  # a path needs no DNS query
        "upstream": _envoy_address(plan.upstream),
        "query": plan.query(profile="envoy"),
        "headers_kb": str(plan.header_kilobytes(least=60, beside=32)),  # of all headers; 60 is Envoy's default
        # Unlike the other proxies, Envoy does not set X-Forwarded-Host itself.
        "clear": _lines((f"- remove: {name.lower()}" for name in (*CLEARED_HEADERS, "X-Forwarded-Host")), indent=26),
        "passed_on": _lines((f"- exact: {name.lower()}" for name in FORWARDED_HEADERS), indent=30),
    }


def _with_aliases() -> list[str]:
    identity = [spelling for name in (*FORWARDED_HEADERS, *FOREIGN_HEADERS) for spelling in (name, *aliases(name))]
    return identity + [name for name in CLIENT_HEADERS if name not in SET_BY_TRAEFIK]


def _envoy_address(address: Address) -> str:
    if address.socket:
        return f"{{pipe: {{path: {address.socket}}}}}"
    return f'{{socket_address: {{address: "{address.host.strip("[]")}", port_value: {address.port}}}}}'


def _host_port(address: Address) -> str:
    return f"{address.host}:{address.port}"


def _lines(lines: Iterable[str], *, indent: int) -> str:
    return "\n".join(" " * indent + line for line in lines)


_PROXIES: Mapping[str, tuple[str, Callable[[Plan], Mapping[str, str]]]] = {
    "nginx": ("nginx.conf", _nginx),
    "caddy": ("Caddyfile", _caddy),
    "traefik": ("traefik.yaml", _traefik),
    "envoy": ("envoy.yaml", _envoy),
}
