"""From a plan to a complete configuration of one proxy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from string import Template

from tenants_api.authz.identity import ASSERTION
from tenants_api.gateway.names import CLAIMS, CLEARED, FOREIGN, PASSED_ON, SEPARATORS, SET_BY_TRAEFIK, aliases
from tenants_api.gateway.plan import Address, Plan, PlanError

_TEMP = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


class _Template(Template):
    """`§name`: no proxy's language uses that sign, and all of them use `$`, `@` or braces."""

    delimiter = "§"


def render(proxy: str, *, plan: Plan) -> str:
    """The configuration of `nginx`, `caddy`, `traefik` or `envoy`.

    Raises:
        PlanError: the proxy cannot do what the plan wants.
    """
    template, values = _PROXIES[proxy]
    text = files("tenants_api.gateway").joinpath("templates", template).read_text(encoding="utf-8")
    return _Template(text).substitute(values(plan))


def _nginx(plan: Plan) -> Mapping[str, str]:
    variables = {name: name.lower().replace("-", "_") for name in PASSED_ON}
    folder = plan.folder
    return {
        "main": f"pid {folder}/nginx.pid;\nerror_log stderr warn;\n" if folder else "",
        "temp": _lines((f"{kind}_temp_path {folder}/{kind};" for kind in _TEMP), indent=4) if folder else "",
        "log": "off" if folder else "/var/log/nginx/access.log door",
        "listen": _host_port(plan.listen),
        "authorizer": f"unix:{plan.authorizer.socket}" if plan.authorizer.socket else _host_port(plan.authorizer),
        "upstream": _host_port(plan.upstream),
        "query": plan.query(profile="nginx"),
        "header_buffer": f"{plan.header_kilobytes(least=16, beside=8)}k",  # one for each header line
        "take": _lines((f"auth_request_set ${own} $upstream_http_{own};" for own in variables.values()), indent=12),
        "give": _lines((f"proxy_set_header {name} ${own};" for name, own in variables.items()), indent=12),
        "clear": _lines((f'proxy_set_header {name} "";' for name in (*FOREIGN, *CLAIMS)), indent=12),
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
        "clear": "\n".join(f"\t\trequest_header -{name}" for name in CLEARED),
        "passed_on": " ".join(PASSED_ON),
        "assertion": ASSERTION,
    }


def _traefik(plan: Plan) -> Mapping[str, str]:
    if plan.authorizer.socket:
        raise PlanError("Traefik's ForwardAuth reaches its authorizer by HOST:PORT only")
    return {
        "listen": _host_port(plan.listen),
        "authorizer": _host_port(plan.authorizer),
        "upstream": _host_port(plan.upstream),
        "query": plan.query(),
        "clear": _lines((f'{name}: ""' for name in _with_aliases()), indent=10),
        "passed_on": _lines((f"- {name}" for name in PASSED_ON), indent=10),
    }


def _envoy(plan: Plan) -> Mapping[str, str]:
    return {
        "listen": _envoy_address(plan.listen),
        "authorizer": _envoy_address(plan.authorizer),
        "discovery": "STATIC" if plan.authorizer.socket else "STRICT_DNS",  # a path is no name to look up
        "upstream": _envoy_address(plan.upstream),
        "query": plan.query(profile="envoy"),
        "headers_kb": str(plan.header_kilobytes(least=60, beside=32)),  # of all headers; 60 is Envoy's own
        # Envoy alone does not set X-Forwarded-Host itself.
        "clear": _lines((f"- remove: {name.lower()}" for name in (*CLEARED, "X-Forwarded-Host")), indent=26),
        "passed_on": _lines((f"- exact: {name.lower()}" for name in PASSED_ON), indent=30),
    }


def _with_aliases() -> list[str]:
    identity = [spelling for name in (*PASSED_ON, *FOREIGN) for spelling in (name, *aliases(name))]
    return identity + [name for name in CLAIMS if name not in SET_BY_TRAEFIK]


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
