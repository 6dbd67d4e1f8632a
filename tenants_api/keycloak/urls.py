"""The form of an issuer or realm URL. One strict pattern decides; nothing is normalised, nothing is resolved."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from tenants_api.keycloak.errors import RealmFault
from tenants_api.keycloak.targets import Address, TargetPolicy

MAX_URL = 512
MAX_TARGET = MAX_URL + 64  # a realm's URL with one of Keycloak's fixed paths behind it
WELL_KNOWN = "/.well-known/openid-configuration"
_SUFFIXES = (WELL_KNOWN, "/.well-known/oauth-authorization-server")

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"(?P<host>\[[0-9a-f:.]{{2,45}}\]|{_LABEL}(?:\.{_LABEL})*)"
# Percent-encoding in the path is kept, but never of NUL, %, dot, slash or backslash: two parsers would differ.
_ENCODED = r"%(?!00|25|2[eEfF]|5[cC])[0-9A-Fa-f]{2}"
_SEGMENT = rf"(?:[A-Za-z0-9_~-]|{_ENCODED})(?:[A-Za-z0-9._~-]|{_ENCODED})*"
_URL = re.compile(rf"(?P<scheme>https?)://{_HOST}(?::(?P<port>[1-9][0-9]{{0,4}}))?(?:/{_SEGMENT})*", re.ASCII)
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+))*", re.ASCII)
_CANONICAL_V4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class IssuerUrl:
    """The issuer byte for byte as it will be compared; `note` tells what was taken off a pasted URL."""

    issuer: str
    note: str | None = None


def parse_issuer(raw: str, *, policy: TargetPolicy) -> IssuerUrl:
    """Check the form of an issuer (or realm URL).

    Raises:
        RealmFault: `SchemeNotHttps`, `HasQueryOrFragment` or `TargetBlocked`, with the cure.
    """
    suffix = next((one for one in _SUFFIXES if raw.endswith(one)), "")
    issuer = raw.removesuffix(suffix)
    _check(issuer, policy=policy, longest=MAX_URL)
    return IssuerUrl(issuer, f"{suffix!r} was stripped: the issuer is {issuer!r}" if suffix else None)


def check_target(url: str, *, policy: TargetPolicy) -> None:
    """Check the form of a URL below a realm that is about to be fetched. Raises RealmFault as `parse_issuer` does."""
    _check(url.removesuffix(WELL_KNOWN), policy=policy, longest=MAX_TARGET)


def _check(url: str, *, policy: TargetPolicy, longest: int) -> None:
    if "?" in url or "#" in url:
        raise _fault("HasQueryOrFragment", url, cure="give the realm's URL without query and fragment")
    if not url.startswith(("https://", "http://")):
        raise _fault("SchemeNotHttps", url, cure="it must start with https://")
    match = _URL.fullmatch(url) if len(url) <= longest else None
    if match is None:
        cure = (
            "give https://<lower-case host>[:port]/realms/<name> in US-ASCII, without user info and trailing slash, "
            f"at most {longest} characters"
        )
        raise _fault("TargetBlocked", url, cure=cure)
    _check_host(match["host"], url=url, policy=policy)
    port = _port(match)
    if match["scheme"] == "http" and not policy.allows_http(match["host"], port=port):
        cure = "use https, or let an operator list the host in TENANTS_INSECURE_HTTP_HOSTS"
        raise _fault("SchemeNotHttps", url, cure=cure)
    policy.check_port(port)


def _port(match: re.Match[str]) -> int:
    return int(match["port"]) if match["port"] else (443 if match["scheme"] == "https" else 80)


def _check_host(host: str, *, url: str, policy: TargetPolicy) -> None:
    literal = _literal(host)
    if literal is not None:
        policy.check_address(literal, host=host)
    elif host.startswith("[") or _NUMERIC.fullmatch(host):
        # 127.1, 2130706433 and 0x7f.1 are addresses to a resolver and names to a reader.
        raise _fault("TargetBlocked", url, cure="write an IP address in its usual form, or use a host name")


def _literal(host: str) -> Address | None:
    if not host.startswith("[") and not _CANONICAL_V4.fullmatch(host):
        return None
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def _fault(reason: str, url: str, *, cure: str) -> RealmFault:
    return RealmFault(reason, message=f"{_shown(url)!r} is not accepted: {cure}")


def _shown(url: str) -> str:
    """The URL for a message, without what may be a password in it: user info, query, fragment."""
    plain = re.split(r"[?#]", url[:200], maxsplit=1)[0]
    scheme, separator, rest = plain.partition(":")
    return f"{scheme}://…@{rest.rpartition('@')[2]}" if separator and "@" in rest else plain
