"""A Jupyter kernel with the profile, and somebody who answers what it asks."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROFILE = Path(__file__).parents[1] / "profiles" / "profile_stedopt"


class Kernel:
    """A kernel, in whose cells code is run as a frontend does."""

    def __init__(self, manager, client):
        self.manager, self.client = manager, client

    def run(self, code, answer=None, timeout=60):
        """Run a cell; ``answer`` takes each prompt and gives a line, None for no answer.

        Without ``answer`` the frontend has no input. Returns the reply's content, what was
        shown as text, and the MIME types of what was displayed.
        """
        text, types = [], []

        def show(message):
            content = message["content"]
            data = content.get("data", {})
            text.append(content.get("text", "") + data.get("text/plain", ""))
            types.extend(data)

        def reply(message):
            line = answer(message["content"]["prompt"])
            if line is not None:
                self.client.input(line)

        told = self.client.execute_interactive(
            code, timeout=timeout, allow_stdin=answer is not None,
            output_hook=show, stdin_hook=reply,
        )  # fmt: skip
        return told["content"], "".join(text), types

    def interrupt(self):
        """As the frontend's button does."""
        self.manager.interrupt_kernel()


@contextlib.contextmanager
def kernel(folder, toml, **variables):
    """Start one with the profile in a folder, and a configuration; skips where there is none."""
    pytest.importorskip("ipykernel")
    manager_class = pytest.importorskip("jupyter_client").KernelManager
    shutil.copytree(PROFILE / "startup", folder / "profile_stedopt" / "startup")
    (folder / "config.toml").write_text(toml)
    manager = manager_class(transport="tcp", ip="127.0.0.1")
    manager.kernel_spec.argv[0] = sys.executable
    names = {"STEDOPT_CATALOG": "catalog", "STEDOPT_CONFIG": "config.toml", **variables}
    manager.start_kernel(
        extra_arguments=[f"--profile-dir={folder / 'profile_stedopt'}"],
        env={**os.environ, **names},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
