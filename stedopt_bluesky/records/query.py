"""What runs are looked for by: one question, for journals, for Tiled, for databroker."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from datetime import date, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING

from stedopt_bluesky.objective_table import OBJECTIVE_TABLE, known_objective
from stedopt_bluesky.records.folder import CatalogError

if TYPE_CHECKING:
    from bluesky_tiled_plugins.clients.catalog_of_bluesky_runs import CatalogOfBlueskyRuns

Moment = str | float | date | datetime

# Exit statuses of stop documents.
ENDED = ("success", "abort", "fail")
# What a list shows in place of an exit status when the journal has no stop document.
RUNNING, INTERRUPTED, DAMAGED = "running", "interrupted", "damaged"

# Numbers of a run as a whole.
OF_THE_RUN = ("images", "exposure_s")
# What numbers are told of: an objective's last ten images, its best one; a setting's last ten.
GROUPS = ("reached", "best", "used")
_COMPARISONS = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
_CONDITION = re.compile(
    r"\s*([A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z0-9_]+)?)\s*(<=|>=|<|>|=)\s*"
    r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*"
)


@dataclass(frozen=True)
class Condition:
    """A number that a run must have.

    Parameters
    ----------
    name : str
        ``"images"``, ``"exposure_s"``, or one of what the run has come to:
        ``"reached.snr"``, ``"best.snr"``, ``"used.depletion_power_mW"``.
    sign : {"<", "<=", ">", ">=", "="}
        How it is compared.
    value : float
        With what, in the unit of the name.
    """

    name: str
    sign: str
    value: float

    def __post_init__(self) -> None:
        """Refuse another sign."""
        if self.sign not in ("=", *_COMPARISONS):
            raise CatalogError(f"sign = {self.sign!r}: =, {', '.join(_COMPARISONS)}")

    @classmethod
    def parse(cls, text: str) -> Condition:
        """Read a condition, for example ``"snr >= 0.5"`` or ``"depletion_power_mW < 100"``.

        An objective alone means what was reached, a setting what was used, both the median of
        the last ten images; ``best.`` before an objective: its best image.

        Raises
        ------
        CatalogError
            When it is none, or nothing has that name.
        """
        found = _CONDITION.fullmatch(text)
        if found is None:
            raise CatalogError(
                f"where = {text!r}: a name, <, <=, >, >= or =, and a number, as 'snr >= 0.5'"
            )
        return cls(_full_name(found[1]), found[2], float(found[3]))


def _full_name(name: str) -> str:
    """Name with its group."""
    from stedopt_bluesky.config.parameters import PARAMETER_UNITS, split_parameter

    group, _, own = name.rpartition(".")
    if name in OF_THE_RUN:
        return name
    if group in ("", "reached", "best") and known_objective(own) is not None:
        return f"{group or 'reached'}.{own}"
    if group in ("", "used"):
        with contextlib.suppress(ValueError):
            split_parameter(own)
            return f"used.{own}"
    known = [*OBJECTIVE_TABLE, *PARAMETER_UNITS, *OF_THE_RUN]
    close = get_close_matches(own, known, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise CatalogError(
        f"where = {name!r}: {hint}an objective ({', '.join(OBJECTIVE_TABLE)}), one with best. "
        f"before it, a parameter, as depletion_power_mW, or {' or '.join(OF_THE_RUN)}"
    )


@dataclass(frozen=True, kw_only=True)
class RunQuery:
    """What runs are looked for by; what is left out, any may have.

    Parameters
    ----------
    sample, structure, preset, operator, plan : str, optional
        Start document's; exactly this.
    exit_status : str, optional
        ``"success"``, ``"abort"`` or ``"fail"``; of journals also ``"running"``,
        ``"interrupted"`` and ``"damaged"``.
    parameter, objective : str, optional
        Name of one that was optimised.
    network : str, optional
        Name of a network that rated or chose, or its SHA-256; or a part of them.
    since, until : str, float, date or datetime, optional
        Only runs that began at ``since`` or later and before ``until``; see :func:`timestamp`.
    uid_prefix : str, optional
        Beginning of the uid.
    where : sequence of Condition, optional
        What the run must have come to, all of them.

    Raises
    ------
    CatalogError
        When an exit status is none, or a time is none.
    """

    sample: str | None = None
    structure: str | None = None
    preset: str | None = None
    operator: str | None = None
    plan: str | None = None
    exit_status: str | None = None
    parameter: str | None = None
    objective: str | None = None
    network: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    uid_prefix: str | None = None
    where: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no run can have."""
        allowed = (*ENDED, RUNNING, INTERRUPTED, DAMAGED)
        if self.exit_status is not None and self.exit_status not in allowed:
            raise CatalogError(f"status = {self.exit_status!r}: {', '.join(allowed)}")
        for moment in (self.since, self.until):
            if moment is not None:
                timestamp(moment)

    @property
    def exactly(self) -> dict[str, str]:
        """Keys of the start document that must have a value."""
        wanted = {
            "sample": self.sample,
            "structure": self.structure,
            "preset": self.preset,
            "operator": self.operator,
            "plan_name": self.plan,
        }
        return {key: value for key, value in wanted.items() if value is not None}

    def search(self, client: CatalogOfBlueskyRuns) -> CatalogOfBlueskyRuns:
        """Search a catalogue of Tiled; also one that is served elsewhere.

        Parameters
        ----------
        client : CatalogOfBlueskyRuns
            As ``tiled.client`` and databroker give it.

        Returns
        -------
        CatalogOfBlueskyRuns
            The runs that match; nothing is fetched yet.

        Raises
        ------
        CatalogError
            When it asks for runs without a stop document, which Tiled does not tell apart.
        """
        from databroker.queries import Comparison, Contains, Key, PartialUID, TimeRange

        if self.exit_status in (RUNNING, INTERRUPTED, DAMAGED):
            raise CatalogError(
                f"status = {self.exit_status!r}: Tiled knows those of runs that have ended, "
                f"{', '.join(ENDED)}"
            )
        found = client
        for key, value in self.exactly.items():
            found = found.search(Key(key) == value)
        if self.exit_status is not None:
            found = found.search(Key("stop.exit_status") == self.exit_status)
        for key, name in (("parameters", self.parameter), ("objectives", self.objective)):
            if name is not None:
                found = found.search(Contains(key, f'"{name}"'))
        if self.network is not None:
            found = found.search(Contains("stop.summary.networks", self.network))
        if self.since is not None:
            found = found.search(TimeRange(since=timestamp(self.since)))
        if self.until is not None:
            found = found.search(TimeRange(until=timestamp(self.until)))
        if self.uid_prefix:
            found = found.search(PartialUID(self.uid_prefix))
        for condition in self.where:
            key = f"stop.summary.{condition.name}"
            found = found.search(
                Key(key) == condition.value
                if condition.sign == "="
                else Comparison(_COMPARISONS[condition.sign], key, condition.value)
            )
        return found


def timestamp(moment: Moment) -> float:
    """Seconds since 1970 (UTC) of a time.

    Parameters
    ----------
    moment : str, float, date or datetime
        A number of seconds; or a date with or without a time, as text in ISO 8601
        (``"2026-11-20"``, ``"2026-11-20 14:30"``). Without a time zone, local time is meant;
        without a time, midnight.

    Raises
    ------
    CatalogError
        When the text is not a date.
    """
    if isinstance(moment, int | float):
        return float(moment)
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            raise CatalogError(
                f"{moment!r} is not a time; give YYYY-MM-DD or YYYY-MM-DD HH:MM"
            ) from None
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    return moment.timestamp()
