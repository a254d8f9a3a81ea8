"""Addresses on the loopback interface: 64 attackers in each of several networks, and the genuine senders next to them."""

import contextlib
import ipaddress
import socket
import subprocess

ATTACKERS = 64
NETWORK = "fd68:6b67::/32"
GENUINE_4, GENUINE_6 = "127.20.20.200", "fd68:6b67:2020:c8::1"
FREEBIND = 78  # IPV6_FREEBIND of Linux: a route makes the addresses local, not one entry for each


def apart(number: int) -> str:
    """Each in a network of its own: another /16."""
    return f"127.{40 + number}.7.1"


def in_the_senders_24(number: int) -> str:
    return f"127.20.20.{1 + number}"


def in_the_senders_56(number: int) -> str:
    """A /64 each, all in the /56 that the sender is in too."""
    return f"fd68:6b67:2020:{1 + number:x}::1"


def in_the_senders_48(number: int) -> str:
    """A /56 each, all in the /48 that the sender is in too."""
    return f"fd68:6b67:2020:{(1 + number) << 8:x}::1"


# How a row of the table names them.
PLACES = {
    "64 networks": apart,
    "the sender's /24": in_the_senders_24,
    "the sender's /56": in_the_senders_56,
    "the sender's /48": in_the_senders_48,
}


def loopback(source: str) -> str:
    """The gateway's address for clients at `source`."""
    return "::1" if ":" in source else "127.0.0.1"


def bound(source: str) -> socket.socket:
    """A TCP socket with this address."""
    plain = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET)
    if ipaddress.ip_address(source) in ipaddress.ip_network(NETWORK):
        plain.setsockopt(socket.IPPROTO_IPV6, FREEBIND, 1)
    plain.bind((source, 0))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain


@contextlib.contextmanager
def network():
    """Makes every address of `NETWORK` a local one, and undoes that; needs root."""
    command = ["ip", "-6", "route", "{}", "local", NETWORK, "dev", "lo"]
    added = subprocess.run([part.format("add") for part in command], capture_output=True, text=True)
    if added.returncode:
        raise SystemExit(f"cannot route {NETWORK} to the loopback interface (this needs root): {added.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run([part.format("del") for part in command], check=True)
