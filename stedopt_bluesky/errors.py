"""Errors of other packages, as they are told."""

from __future__ import annotations


def in_one_line(error: BaseException) -> str:
    """Return an error's text in one line; the name of its type where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__
