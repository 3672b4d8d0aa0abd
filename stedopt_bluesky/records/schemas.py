"""Documents against event-model's definitions of them."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError


def why_invalid(name: str, doc: dict[str, Any]) -> str:
    """Say, in one line, why a document is not one of its kind; "" when it is.

    Parameters
    ----------
    name : str
        Kind of the document, as ``"event"``.
    doc : dict
        The document.
    """
    try:
        if name in ("start", "descriptor", "stop"):
            doc = copy.deepcopy(doc)  # event-model 1.24 changes tables in those that it is given
        # Strict: whatever reads the document takes a number for one, not a text like "1.5".
        _definition(name).validate_python(doc, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        line = " ".join(f"{where}: {_lower_first(first['msg'])}".split())
        return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} …"
    except RecursionError:
        return "nested too deeply"
    return ""


@cache
def _definition(name: str) -> TypeAdapter[Any]:
    """Event-model's own definition, from which its JSON schemas are made: 100 times as fast."""
    from event_model import basemodels

    kind = {"start": "RunStart", "stop": "RunStop", "descriptor": "EventDescriptor"}.get(name)
    return TypeAdapter(getattr(basemodels, kind or name.title().replace("_", "")))


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


# A place in a document is made of its keys, which may be of any length.
_LONGEST = 200
