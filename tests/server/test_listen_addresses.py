"""Sockets on the addresses of settings."""

import socket
from contextlib import ExitStack

import pytest

from service import errors
from service.server.listen_addresses import open_listeners


def test_every_address_of_a_host_has_the_same_port() -> None:
    """A name with addresses of both families is served on all, and the port is chosen once."""
    hosts = {info[4][0] for info in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    with ExitStack() as stack:
        sockets = open_listeners("localhost:0", shared_port=False)
        names = [stack.enter_context(bound).getsockname() for bound in sockets]
        assert hosts == {name[0] for name in names}
        assert 1 == len({name[1] for name in names})
        for name in names:
            socket.create_connection(name[:2]).close()


def test_a_port_is_shared_only_if_both_share_it() -> None:
    """Sockets with a shared port listen side by side; any other socket is refused."""
    with ExitStack() as stack:
        (first,) = map(stack.enter_context, open_listeners("127.0.0.1:0", shared_port=True))
        address = f"127.0.0.1:{first.getsockname()[1]}"
        (second,) = map(stack.enter_context, open_listeners(address, shared_port=True))
        assert first.getsockname() == second.getsockname()
        with pytest.raises(errors.AddressUnavailable, match=f"cannot listen on {address}") as info:
            open_listeners(address, shared_port=False)
        assert address == info.value.address


@pytest.mark.parametrize("listen", ["198.51.100.1:0", "akin.invalid:0"])
def test_an_address_of_another_machine_is_unavailable(listen: str) -> None:
    """An address that is none of this machine, or an unknown name, is the same error."""
    with pytest.raises(errors.AddressUnavailable, match=f"cannot listen on {listen}"):
        open_listeners(listen, shared_port=False)
