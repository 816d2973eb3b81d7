"""Why a server does not start: the setting with the address is named."""

from support.server import free_address

from service import errors
from service.cli.start_errors import describe_start_error
from service.settings import Settings


def test_the_setting_of_the_address_is_named() -> None:
    """The error knows its address: neither another setting nor the text of the message counts."""
    listen, metrics = free_address(), free_address()
    settings = Settings(listen=listen, metrics_listen=metrics)
    for name, address in (("AKIN_LISTEN", listen), ("AKIN_METRICS_LISTEN", metrics)):
        error = errors.AddressUnavailable(f"no place at {address} (in use)", address)
        line = describe_start_error(error, settings)
        assert f"{error}: set {name} to another address" == line
