"""The command line, ``stedopt``: one command per thing that a user wants done.

Standard output holds what a script reads; everything else goes to standard
error. Exit code 2 says that something in the request is wrong, 1 that a run
failed, 130 that it was interrupted.
"""

from __future__ import annotations

from stedopt_bluesky.cli.main import app, main

__all__ = ["app", "main"]
