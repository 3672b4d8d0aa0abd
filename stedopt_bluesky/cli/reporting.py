"""``stedopt report``: runs as one page and their figures as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stedopt_bluesky.cli.output import console, print_json, stdout
from stedopt_bluesky.cli.showing import report_for
from stedopt_bluesky.config import ConfigError

if TYPE_CHECKING:
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.run_record import RunRecord
    from stedopt_bluesky.reports.run_figures import Posterior

PAGE = "report.html"


def write_report(uids: Sequence[str], out: Path, *, catalog: Path, as_json: bool) -> None:
    """Write the report of some runs into a folder.

    Raises
    ------
    ConfigError, CatalogError
        When a run is not there, damaged or not one of this program's, or the folder cannot be
        written to.
    """
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.reports.html_report import html_report
    from stedopt_bluesky.reports.run_figures import figures_of

    folder = CatalogFolder.open(catalog)
    # All of them before anything is drawn.
    reports = [report_for(folder, uid) for uid in uids]
    found = list({report.uid: (record, report) for record, report in reports}.values())
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out = {str(out)!r}: {error.strerror}") from None
    runs = []
    pictures: list[Path] = []
    with console.status("drawing ...") as status:
        for number, (record, report) in enumerate(found, start=1):
            status.update(f"drawing run {report.uid[:8]}, {number} of {len(found)} ...")
            figures = figures_of(record, report, _posterior(folder, record)) if report.rows else {}
            runs.append((report, figures))
            for name, (_, png) in figures.items():
                pictures.append(out / f"{report.uid[:8]}-{name}.png")
                _write(pictures[-1], png)
    page = out / PAGE
    _write(page, html_report(runs).encode())
    if as_json:
        made = [report.uid for report, _ in runs]
        paths = [str(path.resolve()) for path in pictures]
        print_json({"runs": made, "page": str(page.resolve()), "pictures": paths})
    else:
        stdout.print(f"{page}, and {len(pictures)} pictures beside it", markup=False)


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"out = {str(path)!r}: {error.strerror}") from None


def _posterior(folder: CatalogFolder, record: RunRecord) -> Posterior | None:
    """What the run's models expect in the end; None where its strategy has none."""
    from stedopt_bluesky.records.resume import read_chain
    from stedopt_bluesky.reports.run_figures import Posterior
    from stedopt_bluesky.session import config_of, prior_of
    from stedopt_bluesky.session.strategies import make_strategy

    config = config_of(record)
    history = read_chain(folder, record.uid).history
    strategy = make_strategy(config, history, prior_of(record))
    if not hasattr(strategy, "posterior"):
        return None
    mean, std = strategy.posterior()
    return Posterior(config.space, mean, std)
