"""Where a microscope is: an Imspector, a twin that another process serves, or one of our own."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.keys import VARIABLE, secret_from

if TYPE_CHECKING:
    from stedopt_bluesky.imspector.api import Application

_LOOPBACK = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Address:
    """Of one microscope.

    Parameters
    ----------
    kind : {"specpy", "twin"}
        An Imspector or a twin.
    host : str
        Computer it is on; of an Imspector, empty: this one; of a twin, empty: this process.
    port : int
        Of a served twin.
    """

    kind: Literal["specpy", "twin"]
    host: str = ""
    port: int = 0

    @property
    def is_private(self) -> bool:
        """Whether nobody but this process can reach it: a twin that dies with the process."""
        return self.kind == "twin" and not self.host

    @property
    def name(self) -> str:
        """In words, for messages."""
        if self.kind == "specpy":
            return f"the Imspector on {self.host or 'this computer'}"
        return f"the twin at {self.host}:{self.port}" if self.host else "the twin"

    @property
    def computer(self) -> str:
        """Computer it is on, the same whatever name was given for it; empty: this one."""
        host = self.host.strip().rstrip(".").lower()
        own = socket.gethostname().lower()
        if host in ("", *_LOOPBACK, own, own.partition(".")[0]):
            return ""
        try:
            found = {
                (family, at[0])
                for family, _, _, _, at in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
            }
        except (OSError, ValueError):  # not known, or no name: nothing answers there either
            return host
        if any(_is_own(family, str(address)) for family, address in found):
            return ""
        return min(str(address) for _, address in found)

    def connect(self) -> Application:
        """Connect to a microscope that is not private.

        Raises
        ------
        NotAnsweringError
            When none answers; the message says what to do.
        NoImspectorError
            When it cannot be had for another reason, a wrong key for example.
        ConfigError
            When the key of a served twin is not known.
        """
        from stedopt_bluesky.imspector.connect import (
            NoImspectorError,
            NotAnsweringError,
            connect,
        )

        if self.kind == "specpy":
            return connect(self.host)
        from stedopt_bluesky.twin.line import NoTwinError, RefusedByTwinError
        from stedopt_bluesky.twin.remote import RemoteTwin

        key = secret_from(os.environ, VARIABLE)
        if not key:
            raise ConfigError(f"{VARIABLE}: set it to the key of {self.name}")
        try:
            return RemoteTwin(self.host, self.port, key)
        except RefusedByTwinError as error:
            raise NoImspectorError(f"{error}: give it the key of that twin") from None
        except NoTwinError as error:
            raise NotAnsweringError(f"{error}: start one with 'stedopt serve twin'") from None


def _is_own(family: int, address: str) -> bool:
    """Whether this computer has an address: only then can something listen there."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def address_of(config: ExperimentConfig) -> Address:
    """Return where the microscope of a configuration is.

    Raises
    ------
    ConfigError
        When the address of a served twin is none.
    """
    kind, host = config.microscope.kind, config.microscope.host
    if kind == "specpy":
        return Address("specpy", host)
    # A computer's name alone is Imspector's, in a configuration that is tried on the twin.
    if ":" not in host and host not in _LOOPBACK:
        return Address("twin")
    name, _, port = host.rpartition(":")
    if name not in _LOOPBACK or not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 2**16:
        raise ConfigError(
            f"microscope.host = {host!r}: of a twin 127.0.0.1:PORT, as 'stedopt serve twin' prints"
        )
    return Address("twin", "127.0.0.1", int(port))
