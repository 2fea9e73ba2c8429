"""Fixture mixins that suites keep writing by hand: unused ports, a temporary directory."""

from __future__ import annotations

import functools
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from asyncunit.plans.fixtures import fixture

__all__ = ["TemporaryDirectory", "UnusedPorts", "unused_port"]

# How often the system is asked for a port that it has not given before.
ATTEMPTS = 10_000

# What was handed out, for each kind of socket: never twice in a process.
_handed_out: dict[socket.SocketKind, set[int]] = {socket.SOCK_STREAM: set(), socket.SOCK_DGRAM: set()}


@functools.cache
def _has_ipv6() -> bool:
    """Whether this machine has the loopback address of IPv6."""
    if not socket.has_ipv6:
        return False
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        return _can_bind(probe, "::1", 0)


def _can_bind(probe: socket.socket, address: str, port: int) -> bool:
    try:
        probe.bind((address, port))
    except OSError:
        return False
    return True


def unused_port(kind: socket.SocketKind) -> int:
    """A port that nobody listens on at the loopback addresses, and that was not handed out before."""
    handed_out = _handed_out[kind]
    for _ in range(ATTEMPTS):
        with socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
            if port not in handed_out and _is_free_on_ipv6(kind, port):
                handed_out.add(port)
                return port
    raise RuntimeError(
        f"no unused port was found in {ATTEMPTS} attempts; {len(handed_out)} have been handed out, and none is handed "
        f"out twice. Have a server bind port 0, and ask it which port it got."
    )


def _is_free_on_ipv6(kind: socket.SocketKind, port: int) -> bool:
    if not _has_ipv6():
        return True
    with socket.socket(socket.AF_INET6, kind) as probe:
        probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        return _can_bind(probe, "::1", port)


class UnusedPorts:
    """Ports of the loopback addresses, 127.0.0.1 and ::1, that nobody uses; none is handed out twice.

    The names are pytest-asyncio's.
    """

    @fixture(scope="session")
    def unused_tcp_port_factory(cls) -> Callable[[], int]:
        """A function that returns an unused TCP port at each call."""
        return lambda: unused_port(socket.SOCK_STREAM)

    @fixture(scope="session")
    def unused_udp_port_factory(cls) -> Callable[[], int]:
        """A function that returns an unused UDP port at each call."""
        return lambda: unused_port(socket.SOCK_DGRAM)

    @fixture
    def unused_tcp_port(self, unused_tcp_port_factory: Callable[[], int]) -> int:
        """An unused TCP port, another one for each test."""
        return unused_tcp_port_factory()

    @fixture
    def unused_udp_port(self, unused_udp_port_factory: Callable[[], int]) -> int:
        """An unused UDP port, another one for each test."""
        return unused_udp_port_factory()


class TemporaryDirectory:
    """A directory for each test, removed after it. The name ``tmp_path`` is pytest's."""

    @fixture
    def tmp_path(self) -> Iterator[Path]:
        """An empty directory."""
        with tempfile.TemporaryDirectory() as directory:
            yield Path(directory)
