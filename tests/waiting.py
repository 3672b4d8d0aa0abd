"""What tests wait for in other processes and threads, and ports that are free for them."""

import contextlib
import random
import socket
import time


def wait_for(condition, seconds=60, *, what="it", process=None):
    """Wait until a condition holds, and return what it gave; a bound against hanging.

    With a process: fail as soon as that has ended.
    """
    end = time.monotonic() + seconds
    while not (found := condition()):
        if process is not None:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)
    return found


def free_ports(count):
    """Ports of this computer that nobody listens on, and that no system gives away by itself."""
    with contextlib.ExitStack() as sockets:
        found = []
        while len(found) < count:
            port = random.SystemRandom().randrange(20_000, 32_000)
            with contextlib.suppress(OSError):
                sockets.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
        return found
