"""Prior knowledge: observations of earlier experiments, from the catalogue or from a table.

They are read once, before a run begins, and written into its start document
(:mod:`stedopt_bluesky.session.metadata`): whoever replays the run or goes on with it
takes them from there, and needs neither the table nor the earlier run.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stedopt_bluesky.acquisition import PriorObservation
from stedopt_bluesky.config import ConfigError, ExperimentConfig
from stedopt_bluesky.config.csv_rows import cells_of, number_in, opened, written_lines
from stedopt_bluesky.config.parameters import parameter_unit
from stedopt_bluesky.session.decisions import objectives_of
from stedopt_bluesky.session.stored import config_of

if TYPE_CHECKING:
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.run_record import RunRecord

log = logging.getLogger(__name__)

# All go into the start document, about 200 bytes each, and into every fit: off the grid, 2,000
# are learned in seconds.
MAX_OBSERVATIONS = 2_000

# A table of a run's events has its objectives under these names (`DocumentKeys`).
_OBJECTIVE_PREFIX = "objective_"

Row = tuple[dict[str, float], dict[str, float]]  # configuration, valid objectives


def prior_observations(
    config: ExperimentConfig, folder: CatalogFolder | str | os.PathLike[str]
) -> tuple[PriorObservation, ...]:
    """Read the observations that section ``[prior]`` of a configuration names.

    An earlier run must have optimised the same parameters for the same modelled objectives,
    over any range and with any number of values, and have imaged with the same values of
    the parameters that are not optimised. Of a run that resumes another, its own images
    are taken, not those of the other: name both. A table has one column per parameter and
    per modelled objective, by name (a run's own ``objective_…`` columns will do); other
    columns are ignored, unless it is a parameter that this experiment does not optimise
    and images with another value of. Parameters may lie outside this experiment's range.

    Parameters
    ----------
    config : ExperimentConfig
        The experiment that is to begin with them.
    folder : CatalogFolder or path
        The catalogue of the earlier runs; not looked at when none is named.

    Returns
    -------
    tuple of PriorObservation
        Runs first, each in the order of imaging, then the table. An objective that was
        invalid is left out; an observation without any is too, which is logged as a warning.

    Raises
    ------
    ConfigError
        One line naming the run or the table, what is wrong in it and what is expected.
    """
    rows: list[Row] = []
    seen: set[str] = set()
    for i, uid in enumerate(config.prior.runs):
        source = f"prior.runs.{i} = {uid!r}"
        try:
            record = _record(folder, uid)
            if record.uid in seen:
                raise ConfigError(f"run {record.uid} is there twice: each run once")
            seen.add(record.uid)
            rows += _valid(_rows_of_run(config, record), source, "image")
        except (ValueError, IndexError) as error:
            raise ConfigError(f"{source}: {error}") from None
    if config.prior.csv:
        source = f"prior.csv = {config.prior.csv!r}"
        try:
            rows += _valid(_rows_of_table(config, Path(config.prior.csv)), source, "row")
        except ValueError as error:
            raise ConfigError(f"{source}: {error}") from None
    weight = config.prior.weight
    return tuple(PriorObservation(configuration, values, weight) for configuration, values in rows)


def _valid(rows: Iterator[Row], source: str, kind: str) -> list[Row]:
    """Rows with at least one valid objective; what is left out is counted and told."""
    valid, count = [], 0
    for configuration, values in rows:
        count += 1
        if count > MAX_OBSERVATIONS:
            raise ValueError(f"more than {MAX_OBSERVATIONS:,} {kind}s: at most that many")
        if values:
            valid.append((configuration, values))
    if not valid:
        what = f"none of its {count} {kind}s has a valid objective" if count else f"no {kind}"
        raise ValueError(f"{what}: at least one is needed")
    if count > len(valid):
        log.warning(
            "%s: %d of %d %ss have no valid objective and are left out",
            *(source, count - len(valid), count, kind),
        )
    return valid


# --- runs -------------------------------------------------------------------------------


def _record(folder: CatalogFolder | str | os.PathLike[str], uid: str) -> RunRecord:
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.journal import find_run
    from stedopt_bluesky.records.run_record import RunRecord

    if not isinstance(folder, CatalogFolder):
        folder = CatalogFolder.open(folder)
    return RunRecord.read(find_run(folder, uid))


def _rows_of_run(config: ExperimentConfig, record: RunRecord) -> Iterator[Row]:
    """Configuration and valid objectives of each image of a run."""
    earlier = config_of(record)
    _check_same("optimised", earlier.space.names, config.space.names)
    names = _modelled(config)
    _check_same("modelled", _modelled(earlier), names)
    before, now = earlier.fixed_parameters, config.fixed_parameters
    for name in {**now, **before}:
        if before.get(name) != now.get(name):
            raise ConfigError(
                f"it imaged with {name} = {_told(before, name)}; "
                f"expected as in this experiment, {_told(now, name)}"
            )
    _check_units(record, config)
    for index, values in record.observations:
        valid = {name: values[name] for name in names if math.isfinite(values[name])}
        yield earlier.space.configuration(index), valid


def _check_same(verb: str, found: Sequence[str], expected: Sequence[str]) -> None:
    if set(found) != set(expected):
        raise ConfigError(
            f"it {verb} {', '.join(found) or 'nothing'}; "
            f"expected the same as in this experiment, {', '.join(expected) or 'nothing'}"
        )


def _told(fixed: Mapping[str, float], name: str) -> str:
    return f"{fixed[name]:g}" if name in fixed else "Imspector's own"


def _check_units(record: RunRecord, config: ExperimentConfig) -> None:
    """Refuse a run that recorded a parameter in another unit than its name has today."""
    for descriptor in record.descriptors.get(record.keys.image_stream, ()):
        for name in (*config.space.names, *config.fixed_parameters):
            unit = parameter_unit(name)
            recorded = descriptor["data_keys"].get(name, {}).get("units") or unit
            if recorded != unit:
                raise ConfigError(f"it has {name} in {recorded}; expected {unit}")


def _modelled(config: ExperimentConfig) -> list[str]:
    """Names of the objectives that are learnt from images."""
    return [objective.name for objective in objectives_of(config) if objective.modelled]


# --- tables -----------------------------------------------------------------------------


def _rows_of_table(config: ExperimentConfig, path: Path) -> Iterator[Row]:
    """Configuration and valid objectives of each row of a table."""
    with opened(path) as file:
        lines = written_lines(file)
        first, text = next(lines, (1, ""))
        header = cells_of(text, ",", f"line {first}")
        parameters = {name: _column(header, name) for name in config.space.names}
        objectives = {name: _objective_column(header, name) for name in _modelled(config)}
        fixed = {name: value for name, value in config.fixed_parameters.items() if name in header}
        for number, text in lines:
            line = f"line {number}"
            cells = cells_of(text, ",", line)
            if not any(cells):
                continue  # spreadsheets leave empty rows at the end
            if len(cells) != len(header):
                raise ValueError(
                    f"{line} has {len(cells)} cells; expected {len(header)}, as the header"
                )
            configuration = {
                name: _parameter_value(cells[column], f"{line}, {name}")
                for name, column in parameters.items()
            }
            for name, value in fixed.items():
                found = _parameter_value(cells[header.index(name)], f"{line}, {name}")
                if not math.isclose(found, value, rel_tol=1e-9):
                    raise ValueError(
                        f"{line}, {name} = {found:g}: this experiment does not optimise it; "
                        f"expected its fixed value, {value:g}"
                    )
            values = {
                name: _objective_value(cells[column], f"{line}, {name}")
                for name, column in objectives.items()
            }
            yield configuration, {n: v for n, v in values.items() if not math.isnan(v)}


def _column(header: Sequence[str], *names: str) -> int:
    """Place of the one column with one of these names."""
    found = [i for i, cell in enumerate(header) if cell in names]
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"column {names[0]} is there {len(found)} times: once")
    if len(header) == 1 and any(c in header[0] for c in ";\t"):
        raise ValueError("expected commas between the columns")
    has = ", ".join(filter(None, header)) or "no header"
    raise ValueError(
        f"no column {names[0]}; it has {has if len(has) <= 200 else has[:196] + ' ...'}"
    )


def _objective_column(header: Sequence[str], name: str) -> int:
    return _column(header, name, _OBJECTIVE_PREFIX + name)


def _parameter_value(cell: str, where: str) -> float:
    value = number_in(cell)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{where} = {cell!r}: a finite number, at least 0")
    return value


def _objective_value(cell: str, where: str) -> float:
    """Value of an objective; NaN where it was invalid."""
    value = number_in(cell)
    if math.isinf(value) or (math.isnan(value) and cell.lower().lstrip("+-") not in ("", "nan")):
        raise ValueError(f"{where} = {cell!r}: a finite number, or empty where invalid")
    return value
