"""Errors of a configuration in one line: the field, its value and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

# A value is shown to be recognised, not to be read: a calibration of 100 points is cut.
_SHOWN = 60

# What is allowed, by pydantic's type of error; the braces are filled from its context.
_ALLOWED = {
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text, in quotes",
    "string_too_short": "not empty",
    "tuple_type": "a list, in brackets",
    "too_short": "at least one",
    "model_type": "a table of fields",
}


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one line, ready to be shown."""


class FieldError(ValueError):
    """A field that does not go with another one of its section.

    Parameters
    ----------
    field : str
        Its name, dotted where it is in a section of this one.
    value : object
        What it holds.
    allowed : str
        What it might hold.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        super().__init__(f"{field} = {shown(value)}: {allowed}")
        self.field = field
        self.value = value
        self.allowed = allowed


def allowed_text(name: object, allowed: Iterable[str]) -> str:
    """Say what is allowed, and which of it was probably meant."""
    allowed = tuple(allowed)
    close = difflib.get_close_matches(str(name), allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"allowed are {', '.join(allowed)}{hint}"


def shown(value: object) -> str:
    """Show a value much as a TOML file has it, in one line that is not too long."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = repr(value)
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key} = {shown(v)}" for key, v in value.items()) + "}"
    elif isinstance(value, Sequence):
        text = f"[{', '.join(_number(v) if _is_number(v) else shown(v) for v in value)}]"
    else:
        text = _number(value) if _is_number(value) else str(value)
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]} ..."


def one_line(error: ValidationError, model: type[BaseModel], data: object) -> str:
    """Say the first error in the form ``field = value: what is allowed``.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    model : type of BaseModel
        The whole configuration.
    data : object
        What was checked. An entry of one of its lists is told by its number, from 0,
        and by its name.
    """
    first = error.errors(include_url=False)[0]
    location, value, kind = first["loc"], first["input"], first["type"]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        location += tuple(int(p) if p.isdigit() else p for p in cause.field.split("."))
        value, allowed = cause.value, cause.allowed
    elif kind == "extra_forbidden":
        section = _section_at(model, location[:-1])
        fields = tuple(section.model_fields) if section else ()
        allowed = f"unknown field; {allowed_text(location[-1], fields)}"
    else:
        allowed = _allowed(first)
    field = ".".join(str(part) for part in location) + _entry_name(location, data)
    # A table is told by what is wrong in it.
    about_a_table = kind == "missing" or isinstance(value, Mapping | BaseModel)
    subject = field if about_a_table else f"{field} = {shown(value)}"
    message = f"{subject}: {allowed}" if subject else allowed
    return " ".join(message.split())


def _allowed(error: Any) -> str:
    """Say what is allowed in place of what pydantic refused."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "literal_error":
        # Pydantic lists the choices in words: 'a', 'b' or 'c'.
        return allowed_text(error["input"], context["expected"].replace("'", "").split(" or "))
    if kind == "missing":
        return "missing; it is needed"
    if kind in _ALLOWED:
        numbers = {key: _number(bound) for key, bound in context.items() if _is_number(bound)}
        return _ALLOWED[kind].format(**numbers)
    message: str = error["msg"].removeprefix("Value error, ")
    return message


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> str:
    """Show a number as a person writes it: 5 for 5.0, and thousands apart."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else repr(value)


def _entry_name(location: tuple[int | str, ...], data: object) -> str:
    """Name of the entry of a list that a location is in: " (depletion_power_mW)"."""
    node: Any = data
    for part in location:
        try:
            node = node[part]
        except (LookupError, TypeError):
            return ""
        if isinstance(part, int):
            name = node.get("name") if isinstance(node, Mapping) else None
            return f" ({name})" if isinstance(name, str) and location[-1] != "name" else ""
    return ""


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
