"""Where this API may connect to (SSRF): hosts, ports and addresses. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from tenants_api.outbound.errors import RealmFault

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Awaitable[list[Address]]]

# Written out rather than asked of `ipaddress`: `is_global` calls several of these global on some Python versions.
_BLOCKED: tuple[Network, ...] = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and a cloud's metadata at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # a cloud's host agent
        "169.254.0.0/16",  # link-local, metadata
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "100::/64",
        "2001::/32",
        "2001:db8::/32",
        "3fff::/20",
        "5f00::/16",
        "64:ff9b:1::/48",  # a site's own NAT64: the site chooses the position of the IPv4 address
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
# IPv6 ranges that carry an IPv4 address: (range, position of its first bit from the right).
_EMBEDDED = (
    (ip_network("::ffff:0:0/96"), 0),
    (ip_network("64:ff9b::/96"), 0),
    (ip_network("::ffff:0:0:0/96"), 0),
    (ip_network("2002::/16"), 80),
)


@dataclass(frozen=True, slots=True)
class TargetPolicy:
    """What an operator allows: hosts by plain http, private networks, ports."""

    insecure_http_hosts: frozenset[str]
    allowed_private_networks: tuple[Network, ...]
    allowed_ports: frozenset[int]

    def allows_http(self, host: str, *, port: int) -> bool:
        """Whether plain http to this host (IPv6 in brackets) is allowed, as `host` or as `host:port`."""
        return not self.insecure_http_hosts.isdisjoint((host, host.strip("[]"), f"{host}:{port}"))

    def check_address(self, address: Address, *, host: str | None = None) -> None:
        """Check an address, and the IPv4 address inside it, if it carries one.

        Raises:
            RealmFault: `TargetBlocked`, it must not be connected to.
        """
        for candidate in (address, _embedded(address)):
            rule = self._rule_against(candidate) if candidate is not None else None
            if rule is not None:
                message = (
                    f"{host or str(address)!r} is in the reserved network {rule}, expected a public address; "
                    "an operator allows a network with TENANTS_ALLOWED_PRIVATE_NETWORKS"
                )
                raise RealmFault("TargetBlocked", message=message)

    def _rule_against(self, address: Address) -> Network | None:
        if any(address in network for network in self.allowed_private_networks):
            return None
        return next((network for network in _BLOCKED if address in network), None)

    def check_port(self, port: int) -> None:
        """Raises RealmFault (`TargetBlocked`) for a port that is not listed."""
        if port not in self.allowed_ports:
            listed = ", ".join(map(str, sorted(self.allowed_ports)))
            raise RealmFault(
                "TargetBlocked",
                message=f"port {port} is not one of {listed}; an operator allows more with TENANTS_ALLOWED_REALM_PORTS",
            )


def target_policy(
    *, insecure_http_hosts: Iterable[str], allowed_private_networks: Iterable[str], allowed_ports: Iterable[int]
) -> TargetPolicy:
    """The policy of these settings. Raises ValueError for an invalid network."""
    return TargetPolicy(
        insecure_http_hosts=frozenset(host.lower() for host in insecure_http_hosts),
        allowed_private_networks=tuple(ip_network(network, strict=False) for network in allowed_private_networks),
        allowed_ports=frozenset(allowed_ports),
    )


def _embedded(address: Address) -> IPv4Address | None:
    if isinstance(address, IPv4Address):
        return None
    for network, shift in _EMBEDDED:
        if address in network:
            return IPv4Address((int(address) >> shift) & 0xFFFFFFFF)
    return None
