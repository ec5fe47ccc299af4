"""Where the service may send something that a client named: nowhere inside, unless a setting says so.

An address that a client gives must not make the service a way into its own network (server-side request forgery). The host is
resolved once, every address of it is checked, and the connection goes to a checked address: a name that resolves differently a
moment later changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

LONGEST = 2048
"""Characters of an address: what browsers and proxies take."""

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Forbidden(Exception):
    """The address may not be used; the text says why and is fit for the client."""


@dataclass(frozen=True)
class Target:
    """An address that may be called: connect to `url` (its host is an IP address), as `host`."""

    url: str
    host: str
    hostname: str


async def resolve(url: str, *, allow_private: bool) -> Target:
    """The target behind `url`. Raises Forbidden."""
    parts = check_form(url)
    assert parts.hostname is not None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError:
        raise Forbidden(f"the host {parts.hostname} cannot be resolved") from None
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not allow_private:
        for address in addresses:
            if not is_public(address):
                raise Forbidden(f"{parts.hostname} is an address inside a network ({address})")
    chosen = f"[{addresses[0]}]" if addresses[0].version == 6 else str(addresses[0])
    named = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    host = named if parts.port is None else f"{named}:{parts.port}"
    return Target(parts._replace(netloc=f"{chosen}:{port}", fragment="").geturl(), host, parts.hostname)


def check_form(url: str) -> SplitResult:
    """The parts of an http or https address without user and password. Raises Forbidden."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Forbidden("it is not an address") from None
    if len(url) > LONGEST or not url.isprintable() or " " in url:
        raise Forbidden(f"it must be at most {LONGEST} printable characters without spaces")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise Forbidden("it must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise Forbidden("it must not hold a user or a password")
    return parts


def is_public(address: _Address) -> bool:
    """True for an address of the public internet; one that carries an IPv4 address in IPv6 is judged by what it carries."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1] or _nat64(address)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    known = address in ipaddress.ip_network("64:ff9b::/96")
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if known else None
