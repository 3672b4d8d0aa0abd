"""Pages that are written from the code: command line, configuration, objectives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer
from typer.cli import get_docs_for_click

from stedopt_bluesky import cli
from stedopt_bluesky.config import ExperimentConfig, sections
from stedopt_bluesky.networks.weights import find_weights, load_weights, shipped_names
from stedopt_bluesky.objectives import OBJECTIVES

# Bounds of a number in a JSON schema, and how they are read.
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def write(folder: Path) -> None:
    """Write the pages; a page that has not changed is left alone, so that nothing is rebuilt."""
    folder.mkdir(parents=True, exist_ok=True)
    for page_of in (command_line, configuration, objectives, model_cards):
        page, text = folder / f"{page_of.__name__}.md", page_of()
        if not page.exists() or page.read_text("utf-8") != text:
            page.write_text(text, "utf-8")


def command_line() -> str:
    """Typer's own documentation of every command, below a heading of the including page."""
    command = typer.main.get_command(cli.app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="stedopt")
    text = re.sub(r"\[bold\](.*?)\[/\]", r"`\1`", text, flags=re.DOTALL)
    # The title and the list of commands stand in the including page.
    return text[text.index("## `stedopt run`") :]


def configuration() -> str:
    """One table per section: each field with its type, default, range and meaning."""
    return "\n".join(["## Top level\n", _table(ExperimentConfig), *_sections(ExperimentConfig, "")])


def _sections(model: type[sections.Section], prefix: str) -> list[str]:
    """Headings and tables of a model's sections, each followed by those inside of it."""
    parts = []
    for field_name, field in model.model_fields.items():
        section, name = sections.section_of(field.annotation), f"{prefix}{field_name}"
        if section is None:
            continue
        is_list = "tuple" in str(field.annotation)
        heading = f"[[{name}]]" if is_list else f"[{name}]"
        meaning = (section.__doc__ or "").strip().splitlines()[0]
        parts += [f"## `{heading}`\n", f"{field.description or meaning}\n", _table(section)]
        parts += _sections(section, f"{name}.")
    return parts


def objectives() -> str:
    """One row per objective: direction, usual range, and bound of the noise."""
    rows = ["| name | better is | usual range | `noise_upper_bound` |", "|---|---|---|---|"]
    for name, function in OBJECTIVES.items():
        objective = function.objective
        low, high = objective.range
        better = "higher" if objective.direction == "maximise" else "lower"
        noise = f"{objective.noise_bounds[1]:g}" if objective.modelled else "known exactly"
        cells = (f"`{name}`", better, f"{low:g} to {high:g} {objective.unit}".strip(), noise)
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def model_cards() -> str:
    """One section per shipped network: what its own file says of it."""
    parts = []
    for kind in ("quality", "preference"):
        for name in shipped_names(kind):
            weights = load_weights(find_weights(name, kind), kind)
            info = weights.info
            told = {"kind": kind, "version": info.version, "licence": info.licence}
            if info.objectives:
                told["objectives"] = ", ".join(
                    f"{o.name} ({o.unit or 'no unit'})" for o in info.objectives
                )
            if info.whitening:
                whitening = info.whitening
                told["input"] = (
                    f"photon counts, {info.pixel_size_nm:g} nm pixels; {whitening.kind} whitening, "
                    f"offset {whitening.offset:.4g}, scale {whitening.scale:.4g}"
                )
            told |= {key.replace("_", " "): _told(value) for key, value in info.training.items()}
            told["SHA-256 of the file"] = f"`{weights.sha256}`"
            rows = [f"| {key} | {value} |" for key, value in told.items() if value != ""]
            parts += [f"## `{name}` ({kind})\n", "| | |", "|---|---|", *rows, ""]
    return "\n".join(parts)


def _told(value: Any) -> str:
    """Show a value of a network's metadata."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_told(v)}" for key, v in value.items())
    if isinstance(value, list):
        return ", ".join(_told(v) for v in value)
    return str(value)


def _table(section: type[sections.Section]) -> str:
    """Fields of a section that are no sections themselves."""
    schema = section.model_json_schema()
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in section.model_fields.items():
        if sections.section_of(field.annotation):
            continue
        entry = schema["properties"][name]
        cells = (f"`{name}`", _kind(entry), _default(field), field.description or "")
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _kind(entry: dict[str, Any]) -> str:
    """Type and range of a JSON schema's entry, in words."""
    if "anyOf" in entry:
        return " or ".join(_kind(e) for e in entry["anyOf"] if e.get("type") != "null")
    if "enum" in entry:
        return ", ".join(f"`{value!r}`" for value in entry["enum"])
    if entry["type"] == "array":
        return "list of texts" if entry["items"].get("type") == "string" else "list of numbers"
    bounds = [f"{sign} {_number(entry[key])}" for key, sign in _BOUNDS.items() if key in entry]
    kind = {"integer": "whole number", "boolean": "true or false", "string": "text"}
    return " ".join([kind.get(entry["type"], entry["type"]), ", ".join(bounds)]).strip()


def _number(bound: float) -> str:
    return "2⁵³" if bound == 2**53 else f"{bound:,g}" if bound < 1e6 else f"{bound:,}"


def _default(field: Any) -> str:
    if field.is_required():
        return "needed"
    if field.default is None:
        return "left out"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{str(value).lower() if isinstance(value, bool) else repr(value)}`"
