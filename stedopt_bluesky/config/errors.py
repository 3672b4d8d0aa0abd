"""Errors of a configuration in one line: the field, its value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ValidationError


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one line, ready to be shown."""


def allowed_text(name: object, allowed: Iterable[str]) -> str:
    """Say what is allowed, and which of it was probably meant."""
    allowed = tuple(allowed)
    close = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"allowed are {', '.join(allowed)}{hint}"


def one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """Say the first error in the form ``field = value: what is allowed``."""
    first = error.errors()[0]
    # Union types add their member's name to the location; no field is called so.
    location = ".".join(str(part) for part in first["loc"] if part not in ("int", "float"))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        section = _section_at(model, first["loc"][:-1])
        fields = tuple(section.model_fields) if section else ()
        return f"{location}: unknown field; {allowed_text(first['loc'][-1], fields)}"
    if first["type"] == "missing":
        return f"{location}: missing; it is needed"
    if first["type"] == "value_error" and not location:
        return message
    if first["type"] == "value_error" and isinstance(first["input"], Mapping):
        return f"{location}: {message}"
    value = first["input"]
    shown = value if isinstance(value, int | float | str) else type(value).__name__
    return f"{location} = {shown!r}: {message[0].lower()}{message[1:]}"


def _section_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Find the model that describes a location of the configuration."""
    for part in location:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[part].annotation
        inner = getattr(annotation, "__args__", (annotation,))[0]
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return None
        model = inner
    return model
