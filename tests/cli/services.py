"""`stedopt serve ...` in a process of its own, as its users start it."""

import os
import subprocess
import sys
from contextlib import contextmanager

KEY = "a-key-of-the-tests"


@contextmanager
def serving(*arguments, key=KEY):
    """Start a service; give its process and the address that it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("STEDOPT_API_KEY", None)
    if key:
        environment["STEDOPT_API_KEY"] = key
    command = [sys.executable, "-m", "stedopt_bluesky.cli", "serve"]
    process = subprocess.Popen(
        [*command, *map(str, arguments), "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def end(process, number):
    """Send a signal; give exit code, and what was written."""
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout, stderr
