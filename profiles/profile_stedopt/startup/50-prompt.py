"""Ask what every run's start document shall say; only with STEDOPT_PROMPT=1, and at a terminal."""

import os
import sys

if (
    os.environ.get("STEDOPT_PROMPT") == "1"
    and not is_re_worker_active()
    and sys.stdin is not None
    and sys.stdin.isatty()
):
    for _key, _default in (
        ("sample", session.metadata["sample"]),
        ("operator", session.metadata["operator"]),
        ("comment", ""),
    ):
        if _said := input(f"{_key}{f' [{_default}]' if _default else ''}: ").strip():
            asked[_key] = _said
    session.metadata.update(asked)
    asking.name = session.metadata["operator"]
