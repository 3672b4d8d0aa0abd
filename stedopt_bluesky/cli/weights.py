"""``stedopt weights``: list, show and import files of networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from stedopt_bluesky.cli.output import console, print_json, stdout
from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.networks.weights import (
    SUFFIX,
    Kind,
    Weights,
    WeightsError,
    find_weights,
    load_weights,
    shipped_names,
)

_COUNTED = ("running_mean", "running_var", "num_batches_tracked")
KINDS: tuple[Kind, ...] = ("quality", "preference")
# As many digits of a hash as tell all networks apart that anybody has.
_HASH_DIGITS = 8
# What stands over a network's purpose and over how good it is.
_HEADINGS: Mapping[Kind, tuple[str, str]] = {
    "quality": ("structure", "RMSE"),
    "preference": ("objectives", "top-1"),
}
# Where its file says how good it is, and how that is shown.
_ERRORS = {"validation_rmse": "{:.3f}", "test_top1": "{:.1%}"}


def show_shipped(*, as_json: bool) -> None:
    """List the networks that come with the package.

    Raises
    ------
    WeightsError
        When one is damaged.
    """
    found = [
        load_weights(find_weights(name, kind), kind)
        for kind in KINDS
        for name in shipped_names(kind)
    ]
    if as_json:
        print_json([weights_json(weights) for weights in found])
        return
    for kind in KINDS:
        of_kind = [weights for weights in found if weights.info.kind == kind]
        if of_kind:
            stdout.print(_table(kind, of_kind))
            stdout.print()


def _table(kind: Kind, networks: Sequence[Weights]) -> Table:
    """Networks of a kind, one a row, narrow enough for 80 columns."""
    table = Table(
        title=f"{kind.capitalize()} networks",
        title_justify="left",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    purpose, error = _HEADINGS[kind]
    for heading in ("name", "version", purpose, error, "licence", "sha256"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "name")
    for weights in networks:
        info = weights.info
        cells = (info.name, info.version, _purpose(weights), _error(weights))
        table.add_row(*(Text(c) for c in (*cells, info.licence, weights.sha256[:_HASH_DIGITS])))
    return table


def show_one(reference: str, kind: str | None, *, as_json: bool) -> None:
    """Show one network.

    Raises
    ------
    ConfigError, WeightsError
        When there is no such network, or two.
    """
    _print(_find(reference, kind), as_json=as_json)


def import_published_quality(path: Path, structure: str, out: Path, *, as_json: bool) -> None:
    """Write a published quality network as a file of this program, and show it.

    Raises
    ------
    ConfigError, WeightsError
        When it cannot be read or written.
    """
    check_new_file(out)
    with console.status("reading the published network ..."):
        from stedopt_bluesky.networks.published import import_quality

        weights = import_quality(path, structure, out)
    _print(weights, as_json=as_json)


def import_published_preference(folder: Path, out: Path, *, as_json: bool) -> None:
    """Write a published preference network as a file of this program, and show it.

    Raises
    ------
    ConfigError, WeightsError
        When it cannot be read or written.
    """
    check_new_file(out)
    with console.status("reading the published network ..."):
        from stedopt_bluesky.networks.published import import_preference

        weights = import_preference(folder, out)
    _print(weights, as_json=as_json)


def check_new_file(out: Path) -> None:
    """Refuse a place where no network can be written, before anything is done.

    Raises
    ------
    ConfigError
        When it has another ending, or there is something already.
    """
    if out.suffix != SUFFIX:
        raise ConfigError(f"out = {str(out)!r}: the name of a file *{SUFFIX}")
    if out.exists():
        raise ConfigError(f"out = {str(out)!r}: exists; name another file, or remove this one")
    if file := next((p for p in out.parents if p.is_file()), None):
        raise ConfigError(f"out = {str(out)!r}: {file} is a file, not a folder")


def weights_json(weights: Weights) -> dict[str, Any]:
    """All that is known of a network but its tensors."""
    return {
        **asdict(weights.info),
        "sha256": weights.sha256,
        "path": str(weights.path.resolve()),
        "parameters": _parameters(weights),
    }


def _find(reference: str, kind: str | None) -> Weights:
    if kind is not None and kind not in KINDS:
        raise ConfigError(f"kind = {kind!r}: quality or preference")
    asked = KINDS if kind is None else (kind,)
    named = [k for k in asked if reference in shipped_names(k)]
    if len(named) > 1:
        raise ConfigError(f"{reference!r} is a network of both kinds: add --kind {named[0]}")
    if named:
        return load_weights(find_weights(reference, named[0]), named[0])
    path = Path(reference).expanduser()
    if path.is_file():
        return load_weights(path, kind)
    shipped = ", ".join(name for k in asked for name in shipped_names(k))
    raise WeightsError(f"network {reference!r}: no such file; shipped are {shipped}")


def _print(weights: Weights, *, as_json: bool) -> None:
    if as_json:
        print_json(weights_json(weights))
        return
    info = weights.info
    lines = {
        "kind": info.kind,
        "name": f"{info.name} {info.version}",
        "for": _purpose(weights),
        "pixels": f"{info.pixel_size_nm:g} nm" if info.pixel_size_nm else "",
        _HEADINGS[info.kind][1]: _error(weights),
        "whitening": _whitening(weights),
        "inputs": "; ".join(
            f"{o.name}: ({o.unit or 'no unit'} - {o.offset:g}) / {o.scale:g}"
            for o in info.objectives
        ),
        "parameters": f"{_parameters(weights):,}",
        **{f"training {key}": _in_words(value) for key, value in info.training.items()},
        "licence": info.licence,
        "source": info.source,
        "sha256": weights.sha256,
        "file": str(weights.path),
    }
    width = max(len(label) for label in lines)
    for label, text in lines.items():
        if text:
            stdout.print(f"[bold]{escape(label.rjust(width))}[/]  {escape(text)}")


def _parameters(weights: Weights) -> int:
    """How many numbers were learnt; what normalisation has counted is not among them."""
    learnt = (t for name, t in weights.tensors.items() if not name.endswith(_COUNTED))
    return sum(tensor.size for tensor in learnt)


def _purpose(weights: Weights) -> str:
    objectives = ", ".join(entry.name for entry in weights.info.objectives)
    return objectives or weights.info.structure


def _error(weights: Weights) -> str:
    training = weights.info.training
    shown = (text.format(training[k]) for k, text in _ERRORS.items() if _is_number(training.get(k)))
    return next(shown, "")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whitening(weights: Weights) -> str:
    whitening = weights.info.whitening
    if whitening is None:
        return ""
    return f"{whitening.kind}, offset {whitening.offset:g}, scale {whitening.scale:g}"


def _in_words(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_in_words(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_in_words, value))
    return str(value)
