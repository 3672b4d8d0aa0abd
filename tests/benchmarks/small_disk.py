"""A run on a disk of a few hundred KiB: a tmpfs, in a name space of the run's own."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A bound against hanging, s.
LONG_S = 300.0
# Where no name space or no tmpfs is allowed, that is said at once, s.
_REFUSAL_S = 30.0
# Run, leave more room, go on, and take everything to where it outlives the name space.
_SCRIPT = """
set -e
mount -t tmpfs -o size="$KIB"k tmpfs "$CATALOG/$SMALL"
stedopt() {
    name=$1
    shift
    code=0
    "$PYTHON" -m stedopt_bluesky.cli "$@" --catalog "$CATALOG" --json \
        > "$OUT/$name.json" 2> "$OUT/$name.err" || code=$?
    echo $code > "$OUT/$name.code"
}
stedopt first run "$TOML"
mount -o remount,size=64m "$CATALOG/$SMALL"
uid=$(ls "$CATALOG"/journal/*/ | grep jsonl | cut -c1-36)
if [ -n "$uid" ]; then
    stedopt second resume "$uid"
fi
cp -r "$CATALOG" "$OUT/catalog"
"""


@dataclass(frozen=True)
class Ended:
    """What a command has left.

    Parameters
    ----------
    code : int
        Its exit code.
    told : dict
        What it wrote to standard output; empty: nothing.
    words : str
        What it said on standard error.
    """

    code: int
    told: dict[str, Any]
    words: str

    @property
    def images(self) -> int:
        """Images that it says it has taken."""
        return len(self.told.get("images", ()))

    @property
    def last_word(self) -> str:
        """The last line that it said."""
        return next(reversed(self.words.strip().splitlines()), "nothing was said")


@functools.cache
def refusal() -> str:
    """Why no file system can be mounted here; "" when one can."""
    command = ["unshare", "-Urm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    try:
        tried = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_REFUSAL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no file system can be mounted here: {error}"
    if tried.returncode == 0:
        return ""
    return f"no file system can be mounted here: {tried.stderr.strip()}"


def fill_and_go_on(
    toml: Path, catalog: Path, out: Path, kib: int, small: str = "", **environment: str
) -> tuple[Ended, Ended | None]:
    """Run on a disk that is too small, make it larger, and go on.

    Parameters
    ----------
    toml : Path
        The run's configuration.
    catalog : Path
        Where the catalogue is, a folder; what is there in the end lies in ``out / "catalog"``.
    out : Path
        An empty folder.
    kib : int
        Size of the disk, KiB.
    small : str
        Which folder of the catalogue lies on it; "": all of it.
    **environment : str
        Added to this process's.

    Returns
    -------
    Ended
        What the run has left.
    Ended or None
        What going on has left; None: there was no journal to go on with.
    """
    subprocess.run(
        ["unshare", "-Urm", "sh", "-c", _SCRIPT],
        env={
            **os.environ,
            **environment,
            **{"TOML": str(toml), "CATALOG": str(catalog), "OUT": str(out)},
            **{"KIB": str(kib), "SMALL": small, "PYTHON": sys.executable},
        },
        check=True,
        capture_output=True,
        timeout=LONG_S,
    )
    second = _ended(out, "second") if (out / "second.code").exists() else None
    return _ended(out, "first"), second


def _ended(out: Path, name: str) -> Ended:
    said = (out / f"{name}.json").read_text("utf-8")
    return Ended(
        code=int((out / f"{name}.code").read_text("ascii")),
        told=json.loads(said) if said else {},
        words=(out / f"{name}.err").read_text("utf-8"),
    )
