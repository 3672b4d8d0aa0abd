"""Documents against event-model's schemas."""

from __future__ import annotations

from typing import Any


def why_invalid(name: str, doc: dict[str, Any]) -> str:
    """Say, in one line, why a document is not one of its kind; "" when it is.

    Parameters
    ----------
    name : str
        Kind of the document, as ``"event"``.
    doc : dict
        The document.
    """
    from event_model import DocumentNames, schema_validators

    try:
        error = next(schema_validators[DocumentNames[name]].iter_errors(doc), None)
    except RecursionError:
        return "nested too deeply"
    if error is None:
        return ""
    where = ".".join(map(str, error.absolute_path))
    line = " ".join(f"{where}: {error.message}".split() if where else error.message.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"


# A message repeats the value that is wrong, which may be the whole document.
_LONGEST = 200
