import socket
from pathlib import Path

import pytest

import asyncunit
from asyncunit import AsyncTestCase, mixins
from tests.support import run

KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


@pytest.mark.parametrize("kind", KINDS)
def test_a_port_is_free_on_both_loopback_addresses(kind):
    class Test(mixins.UnusedPorts, AsyncTestCase):
        async def test_x(self):
            port = getattr(self, f"unused_{kind}_port")
            for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
                if family == socket.AF_INET or mixins._has_ipv6():
                    with socket.socket(family, KINDS[kind]) as server:
                        server.bind((address, port))

    assert run(Test).passed == ["test_x"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_port_is_handed_out_twice(kind):
    ports = []

    class Test(mixins.UnusedPorts, AsyncTestCase):
        async def test_x(self):
            factory = getattr(self, f"unused_{kind}_port_factory")
            ports.extend([getattr(self, f"unused_{kind}_port"), *(factory() for _ in range(50))])

        test_y = test_x

    assert run(Test).wasSuccessful()
    assert len(ports) == len(set(ports)) == 102


def test_a_port_that_is_taken_on_one_address_is_not_handed_out(monkeypatch):
    taken = []

    def is_free(kind, port):
        taken.append(port)
        return len(taken) > 1

    monkeypatch.setattr(mixins, "_is_free_on_ipv6", is_free)
    assert mixins.unused_port(socket.SOCK_STREAM) not in taken[:1]


def test_a_machine_without_ipv6_has_ports_too(monkeypatch):
    monkeypatch.setattr(mixins, "_has_ipv6", lambda: False)
    assert mixins.unused_port(socket.SOCK_DGRAM)


def test_where_there_is_no_port_left_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setattr(mixins, "ATTEMPTS", 1)
    monkeypatch.setattr(mixins, "_is_free_on_ipv6", lambda kind, port: False)
    with pytest.raises(RuntimeError, match="no unused port was found in 1 attempts; .*bind port 0"):
        mixins.unused_port(socket.SOCK_STREAM)


def test_a_temporary_directory_is_there_for_one_test():
    seen = []

    class Test(mixins.TemporaryDirectory, AsyncTestCase):
        def test_x(self):
            self.assertIsInstance(self.tmp_path, Path)
            self.assertEqual(list(self.tmp_path.iterdir()), [])
            (self.tmp_path / "file").write_text("text")
            seen.append(self.tmp_path)

        test_y = test_x

    assert run(Test).wasSuccessful()
    assert len(set(seen)) == 2
    assert not any(path.exists() for path in seen)


def test_the_module_is_there_without_being_imported():
    assert asyncunit.mixins is mixins
