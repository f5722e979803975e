"""Who may ask for the page: Host, Origin and X-Forwarded-For, as values.

In: header values, which anyone may have written, and the names that the operator gave. Out: whether
they fit, and where a request comes from. Nothing is raised.

A page of another site can send a browser here in two ways. It opens a WebSocket to us, which
carries its Origin. Or its site lets its own name point to our address (DNS rebinding): then Origin
and Host agree, and Host is a name that is not ours.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import NamedTuple

_NAME_AND_PORT = r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,252}))(?::([0-9]{1,5}))?"
_HOST = re.compile(_NAME_AND_PORT)
_ORIGIN = re.compile(f"(https?)://{_NAME_AND_PORT}")
_PORTS = {"http": "80", "https": "443"}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Host(NamedTuple):
    """A Host header: a name in small letters, or an address without brackets; and a port or ""."""

    name: str
    port: str


def parse_host(value: str) -> Host | None:
    """None for what is no host and port (RFC 9110, 7.2)."""
    found = _HOST.fullmatch(value)
    name = _name_of(found[1]) if found else ""
    return Host(name, found[2] or "") if found and name else None


def is_loopback(name: str) -> bool:
    """Whether this is this machine by its name (RFC 6761, 6.3) or its address."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = address_of(name)
    return address is not None and address.is_loopback


def is_same_origin(origin: str, host: Host, *, is_port_known: bool = True) -> bool:
    """Whether `origin` is that of a page which came from `host`. Behind a proxy a Host without a
    port does not tell the port: unless `is_port_known`, any port matches it."""
    found = _ORIGIN.fullmatch(origin)
    if not found or _name_of(found[2]) != host.name:
        return False
    port = found[3] or _PORTS[found[1]]
    if not host.port:
        return not is_port_known or port in _PORTS.values()
    return port == host.port


def address_of(text: str) -> Address | None:
    """The address in `text`; the IPv4 address if an IPv6 address holds one. None if it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    wrapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return wrapped or address


def network_of(text: str) -> Network:
    """An address or a network, as `-trust-proxy` takes it. Raises ValueError."""
    return ipaddress.ip_network(text)


def source_behind(peer: str, forwarded: Iterable[str], proxies: Iterable[Network]) -> str:
    """Where a request comes from: `peer`, or if that is a proxy of ours, the last address in
    `forwarded` (values of X-Forwarded-For) that is not one of our proxies. Addresses in front of
    it may be invented by the client."""
    proxies = list(proxies)
    source = peer
    for text in reversed([part.strip() for value in forwarded for part in value.split(",")]):
        if not is_among(source, proxies):
            return source
        address = address_of(text)
        if address is None:
            return source
        source = str(address)
    return source


def is_among(text: str, networks: Iterable[Network]) -> bool:
    """Whether the address in `text` lies in one of `networks`."""
    address = address_of(text.partition("%")[0])
    return address is not None and any(address in network for network in networks)


def _name_of(text: str) -> str:
    """A name in small letters, or an address without its brackets; "" if what stands in them is no
    IPv6 address."""
    if not text.startswith("["):
        return text.lower().rstrip(".")
    try:
        ipaddress.IPv6Address(text[1:-1])
    except ValueError:
        return ""
    return text[1:-1].lower()
