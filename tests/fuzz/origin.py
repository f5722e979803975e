"""What a browser, or what pretends to be one, says about hosts, origins and addresses."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from web.origin import is_among, is_loopback, is_same_origin, parse_host, source_behind

PROXIES = [ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")]
"""Those that are believed."""


def look_at_origin(data: bytes) -> None:
    """`data` is lines: a Host, an Origin, and values of X-Forwarded-For. None of them raises; what
    is taken for a host is one to the reader of URLs that Python has, and an origin that is said to
    be the host's has its name."""
    host_text, origin, *forwarded = [*data.decode("latin-1").split("\n"), ""][: 2 + 8]
    host = parse_host(host_text)
    if host:
        url = urlsplit(f"//{host_text}/")
        assert (url.hostname or "").rstrip(".") == host.name
        assert (url.username, url.path, host_text.isascii()) == (None, "/", True)
        assert not is_loopback(host.name) or host.name.endswith("localhost") or _is_own(host.name)
        if is_same_origin(origin, host, is_port_known=False):
            site = urlsplit(origin)
            assert (site.hostname or "").rstrip(".") == host.name
            assert (site.scheme in ("http", "https"), site.username) == (True, None)
    for peer in ("192.0.2.1", "127.0.0.1"):
        source = source_behind(peer, forwarded, PROXIES)
        if source != peer:
            assert is_among(peer, PROXIES), "a stranger was believed"
            assert source == str(ipaddress.ip_address(source))


def _is_own(name: str) -> bool:
    address = ipaddress.ip_address(name)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
