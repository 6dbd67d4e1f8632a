"""Checks the form of issuers and realm URLs by one strict pattern. Normalises and resolves nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

import httpx

from tenants_api.outbound.errors import RealmFault
from tenants_api.outbound.targets import Address, TargetPolicy

MAX_URL_CHARACTERS = 512
MAX_TARGET_CHARACTERS = MAX_URL_CHARACTERS + 64  # a realm's URL followed by one of Keycloak's fixed paths
WELL_KNOWN = "/.well-known/openid-configuration"
_SUFFIXES = (WELL_KNOWN, "/.well-known/oauth-authorization-server")

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"(?P<host>\[[0-9a-f:.]{{2,45}}\]|{_LABEL}(?:\.{_LABEL})*)"
# Percent-encoding in the path is allowed, but not of NUL, %, dot, slash or backslash, which parsers read differently.
_ENCODED = r"%(?!00|25|2[eEfF]|5[cC])[0-9A-Fa-f]{2}"
_SEGMENT = rf"(?:[A-Za-z0-9_~-]|{_ENCODED})(?:[A-Za-z0-9._~-]|{_ENCODED})*"
_URL = re.compile(rf"(?P<scheme>https?)://{_HOST}(?::(?P<port>[1-9][0-9]{{0,4}}))?(?:/{_SEGMENT})*", re.ASCII)
_AUTHORITY = re.compile(r"(https?://)([A-Za-z0-9.\[\]:-]+)(.*)", re.ASCII | re.DOTALL)
_NUMERIC = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+))*", re.ASCII)
_CANONICAL_V4 = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class IssuerUrl:
    """The issuer byte for byte as it is compared; `note` is about a suffix that was removed from a pasted URL."""

    issuer: str
    note: str | None = None


def parse_issuer(raw: str, *, policy: TargetPolicy) -> IssuerUrl:
    """Check the form of an issuer. It is compared and never connected to, so its host may have upper case letters.

    Raises:
        RealmFault: `SchemeNotHttps`, `HasQueryOrFragment` or `TargetBlocked`, with the wrong part and what to do.
    """
    suffix = next((one for one in _SUFFIXES if raw.endswith(one)), "")
    issuer = raw.removesuffix(suffix)
    _check(issuer, strict=lower_host(issuer), policy=policy, max_characters=MAX_URL_CHARACTERS)
    return IssuerUrl(issuer, f"{suffix!r} was removed: the issuer is {issuer!r}" if suffix else None)


def parse_realm_url(raw: str, *, policy: TargetPolicy) -> str:
    """Check the form of a realm URL and return it without a well-known path. Raises RealmFault as `parse_issuer`."""
    suffix = next((one for one in _SUFFIXES if raw.endswith(one)), "")
    url = raw.removesuffix(suffix)
    _check(url, strict=url, policy=policy, max_characters=MAX_URL_CHARACTERS)
    return url


def lower_host(issuer: str) -> str:
    """The default realm URL of an issuer: the same URL (RFC 3986 section 6.2.2.1) with its host in lower case."""
    found = _AUTHORITY.fullmatch(issuer)
    return f"{found[1]}{found[2].lower()}{found[3]}" if found is not None else issuer


def check_target(url: str, *, policy: TargetPolicy) -> None:
    """Check the form of a URL below a realm before a fetch. Raises RealmFault as `parse_issuer`."""
    url = url.removesuffix(WELL_KNOWN)
    _check(url, strict=url, policy=policy, max_characters=MAX_TARGET_CHARACTERS)


def _check(url: str, *, strict: str, policy: TargetPolicy, max_characters: int) -> None:
    if "?" in url or "#" in url:
        raise _fault("HasQueryOrFragment", url, hint="give the realm's URL without query and fragment")
    if url != url.strip():
        raise _fault("TargetBlocked", url, hint="it begins or ends with white space; remove it")
    if not url.startswith(("https://", "http://")):
        raise _fault("SchemeNotHttps", url, hint="it must start with https:// in lower case")
    match = _URL.fullmatch(strict) if len(url) <= max_characters else None
    if match is None:
        raise _fault("TargetBlocked", url, hint=_wrong_part(strict, max_characters=max_characters))
    _check_host(match["host"], url=url)
    _check_allowed(match, url=url, policy=policy)


def _check_allowed(match: re.Match[str], *, url: str, policy: TargetPolicy) -> None:
    """One fault for all settings that an operator must change, so that a private realm costs one restart."""
    host, port, literal = match["host"], _port(match), _literal(match["host"])
    faults: list[RealmFault] = []
    if literal is not None:
        faults += _faults(lambda: policy.check_address(literal, host=host))
    if match["scheme"] == "http" and not policy.allows_http(host, port=port):
        hint = "use https, or let an operator list the host in TENANTS_INSECURE_HTTP_HOSTS"
        faults.append(_fault("SchemeNotHttps", url, hint=hint))
    faults += _faults(lambda: policy.check_port(port))
    if not faults:
        return
    messages = [fault.message for fault in faults]
    if literal is None:  # its address is known only when it is connected to
        messages.append("a host with a private address needs its network in TENANTS_ALLOWED_PRIVATE_NETWORKS too")
    raise RealmFault(faults[0].reason, message="; ".join(messages))


def _faults(check: Callable[[], None]) -> list[RealmFault]:
    try:
        check()
    except RealmFault as fault:
        return [fault]
    return []


def _wrong_part(url: str, *, max_characters: int) -> str:
    """Which part of a URL does not match `_URL`, and what to do. User info and path are never repeated."""
    if len(url) > max_characters:
        return f"it has {len(url)} characters; at most {max_characters} are accepted"
    strange = next((one for one in url if not "!" <= one <= "~"), None)
    if strange is not None:
        return f"it holds {_named(strange)}; expected US-ASCII without white space"
    authority, _, path = url.partition("://")[2].partition("/")
    if "\\" in url:
        return "it holds a backslash; separate with /"
    if "@" in url:
        return "it holds user info before an @; give the host alone"
    host, colon, port = _split(authority)
    if (fault := host_fault(host)) is not None:
        return fault
    if colon and not re.fullmatch(r"[1-9][0-9]{0,4}", port, re.ASCII):
        return f"the port {port[:20]!r} is not a number from 1 to 65535 without leading zeros"
    return _wrong_path(path)


def host_fault(host: str) -> str | None:
    """What is wrong with a host name or an IP address in its usual form (RFC 1123 section 2.1), and what to do."""
    shown = repr(host[:100])
    if not host:
        return "it has no host; expected https://<host>[:port]/realms/<name>"
    if host.startswith("["):
        valid = host.endswith("]") and "%" not in host and _literal(host.lower()) is not None
        return None if valid else f"the host {shown} is not an IPv6 address in brackets, without a zone"
    if host != host.lower():
        # A suggestion must itself be accepted.
        return host_fault(host.lower()) or f"the host {shown} holds upper case letters; write {host[:100].lower()!r}"
    if "_" in host:
        return f"the host {shown} holds an underscore, which no host name may; give the server a name without one"
    if host.endswith("."):
        return f"the host {shown} ends with a dot; remove it"
    for label in host.split("."):
        if not label:
            return f"the host {shown} begins with a dot or holds two in a row; remove one"
        if len(label) > 63:
            return f"the host's label {label[:20] + '…'!r} has {len(label)} characters; at most 63 are possible"
        if label.startswith("-") or label.endswith("-"):
            return f"the host's label {label!r} begins or ends with a hyphen"
        if not re.fullmatch(_LABEL, label, re.ASCII):
            strange = next(one for one in label if not re.fullmatch(r"[a-z0-9-]", one, re.ASCII))
            return f"the host {shown} holds {strange!r}; expected letters, digits, hyphens and dots"
    return None


def _wrong_path(path: str) -> str:
    if path.endswith("/") or not path:
        return "it ends with a slash; remove it"
    for segment in path.split("/"):
        if not segment:
            return "its path holds two slashes in a row; remove one"
        if segment.startswith("."):
            return "a segment of its path begins with a dot"
        strange = re.search(rf"(?!{_ENCODED})[^A-Za-z0-9._~-]", re.sub(_ENCODED, "", segment), re.ASCII)
        if strange is not None:
            what = "a percent-encoded NUL, %, dot, slash or backslash" if strange[0] == "%" else repr(strange[0])
            return f"its path holds {what}; expected /realms/<name> with other characters percent-encoded"
    return "expected https://<host>[:port]/realms/<name>"


def _split(authority: str) -> tuple[str, str, str]:
    if authority.startswith("["):
        host, bracket, rest = authority.partition("]")
        return host + bracket, *rest.partition(":")[1:]
    return authority.partition(":")


def _named(character: str) -> str:
    names = {" ": "a space", "\t": "a tab", "\n": "a line break", "\r": "a line break", "\0": "a NUL character"}
    return names.get(character, f"U+{ord(character):04X}")


def _port(match: re.Match[str]) -> int:
    return int(match["port"]) if match["port"] else (443 if match["scheme"] == "https" else 80)


def _check_host(host: str, *, url: str) -> None:
    if _literal(host) is not None:
        return
    if host.startswith("[") or _NUMERIC.fullmatch(host):
        # Resolvers read 127.1, 2130706433 and 0x7f.1 as addresses.
        raise _fault("TargetBlocked", url, hint="write an IP address in its usual form, or use a host name")
    if not _is_decodable(host):
        hint = f"the host {host[:100]!r} begins with xn--, but is not an encoded international name (IDNA 2008)"
        raise _fault("TargetBlocked", url, hint=f"{hint}; write it as the server's certificate has it")


def _is_decodable(host: str) -> bool:
    """Whether httpx, which decodes a host that begins with an encoded label, accepts it."""
    try:
        return bool(httpx.URL(f"https://{host}").host)
    except UnicodeError:
        return False


def _literal(host: str) -> Address | None:
    if not host.startswith("[") and not _CANONICAL_V4.fullmatch(host):
        return None
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        return None


def _fault(reason: str, url: str, *, hint: str) -> RealmFault:
    return RealmFault(reason, message=f"{_shown(url)!r} is not accepted: {hint}")


def _shown(url: str) -> str:
    """The URL for a message, without user info, query and fragment, which may have a password."""
    plain = re.split(r"[?#]", url[:200], maxsplit=1)[0]
    scheme, separator, rest = plain.partition(":")
    return f"{scheme}://…@{rest.rpartition('@')[2]}" if separator and "@" in rest else plain
