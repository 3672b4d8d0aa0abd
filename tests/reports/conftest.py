"""Reports by hand, and recorded runs of the digital twin."""

import pytest
from bluesky import RunEngine

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.config import PARAMETER_UNITS, preset
from stedopt_bluesky.records import RunRecord, find_run
from stedopt_bluesky.reports.summary import ImageRow, RunReport, report_of
from stedopt_bluesky.session import connect_application, objectives_of, open_session, weights_of

SMALL = {
    "seed": 2,
    "microscope.field_um": 30.0,
    "overview.size_um": 30.0,
    "imaging.region_size_um": 1.28,
}
NAN = float("nan")
OBJECTIVES = (
    Objective("snr", "", "maximise", (0.0, 1.0)),
    Objective("resolution_nm", "nm", "minimise", (60.0, 200.0)),
    Objective("imaging_time_s", "s", "minimise", (0.0, 5.0), modelled=False),
)


def record_run(folder, images, *, rate=None, **changes):
    """Run on the twin; the record, and the report as the command line makes it."""
    config = preset("classical").updated({**SMALL, "images": images, **changes})
    engine = RunEngine({}, context_managers=[])
    with open_session(config, connect_application(config), folder, run_engine=engine) as session:
        if rate:
            object.__setattr__(session, "rate", rate)
        (uid,) = engine(session.optimize())
        record = RunRecord.read(find_run(session.folder, uid))
    report = report_of(
        record,
        objectives_of(config),
        weights_of(config),
        {name: PARAMETER_UNITS[name] for name in config.space.names},
        exit_status="success",
        reason="",
    )
    return record, report


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """A run of seven images, for reading only."""
    return record_run(tmp_path_factory.mktemp("recorded") / "cat", 7)


@pytest.fixture(scope="session")
def recorder():
    return record_run


def row(number, utility, snr=0.5):
    return ImageRow(
        number=number,
        iteration=number - 1,
        parameters={"excitation_power_uW": 26.8, "depletion_power_mW": 359.5},
        objectives={"snr": snr, "resolution_nm": 81.25, "imaging_time_s": 0.05},
        utility=utility,
    )


@pytest.fixture
def make_report():
    """A report of images with these utilities; NaN is an image with an invalid objective."""

    def make(utilities, **changes):
        rows = tuple(
            row(n, u, snr=NAN if u != u else 0.5)  # noqa: PLR0124  NaN differs from itself
            for n, u in enumerate(utilities, start=1)
        )
        fields = {
            "uid": "57dc0000-0000",
            "exit_status": "success",
            "reason": "",
            "images_planned": len(rows),
            "rows": rows,
            "objectives": OBJECTIVES,
            "parameter_units": {"excitation_power_uW": "µW", "depletion_power_mW": "mW"},
            "start": {"uid": "57dc0000-0000", "sample": "actin", "seed": 3, "time": 1.0},
        }
        return RunReport(**{**fields, **changes})

    return make
