"""Documents for those who look on: whether they are published, and where on this computer."""

from __future__ import annotations

import re

from pydantic import Field, field_validator

from stedopt_bluesky.config.sections import Section

_LOOPBACK = ("127.0.0.1", "localhost")


class LiveConfig(Section):
    """Documents as they come, over ZMQ on this computer, for `stedopt live` and other programs."""

    publish: bool = Field(
        True, description="Whether documents are published while images are taken."
    )
    address: str = Field(
        "127.0.0.1:0",
        description="127.0.0.1:PORT; port 0: any that is free, which `stedopt live` finds.",
    )

    @field_validator("address")
    @classmethod
    def _address(cls, address: str) -> str:
        return f"127.0.0.1:{loopback_port(address)}"


def loopback_port(text: str) -> int:
    """Return the port of ``PORT``, ``HOST:PORT`` or ``tcp://HOST:PORT`` on this computer.

    Raises
    ------
    ValueError
        When it is none of this computer's own.
    """
    host, _, port = text.removeprefix("tcp://").rpartition(":")
    if host not in ("", *_LOOPBACK) or not re.fullmatch("[0-9]{1,5}", port) or int(port) >= 2**16:
        raise ValueError(
            "127.0.0.1:PORT, PORT from 0 (any that is free) to 65535; documents go to this "
            "computer alone, from another one come through SSH"
        )
    return int(port)
