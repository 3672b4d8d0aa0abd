"""The uncaging plan: spine by spine, one Event each; resumed and replayed as any other run."""

import contextlib
import dataclasses
import math

import numpy as np
import pytest
import tifffile
from bluesky import RunEngine

from stedopt_bluesky.acquisition import Region, Spine
from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.plans.optimize import NotEnoughRegionsError
from stedopt_bluesky.plans.spines import SpineRefusedError, SpineSites, spread
from stedopt_bluesky.records.export import export_run
from stedopt_bluesky.records.journal import journal_paths
from stedopt_bluesky.records.resume import read_chain
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.session import connect_application, open_session
from stedopt_bluesky.session.places import sites_of
from stedopt_bluesky.session.stored import config_of, places_left

SMALL = {
    "seed": 4,
    "images": 3,
    "microscope.field_um": 24.0,
    "overview.size_um": 24.0,
    "uncaging.cells": 1,
    "imaging.region_size_um": 1.0,
    "calcium.baseline_frames": 3,
    "calcium.response_frames": 4,
}


@contextlib.contextmanager
def opened(folder, **changes):
    config = preset("uncaging").updated({**SMALL, **changes})
    application = connect_application(config)
    engine = RunEngine({}, context_managers=[])
    with open_session(config, application, folder, run_engine=engine) as session:
        yield session, application, engine


@pytest.fixture
def bench(tmp_path):
    with opened(tmp_path / "catalogue") as bench:
        yield bench


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run that went well: its record, the session, and what the lasers did."""
    with opened(tmp_path_factory.mktemp("done") / "catalogue") as (session, application, engine):
        engine(session.optimize())
        (path,) = journal_paths(session.folder)
        yield RunRecord.read(path), session, application


def test_frames_are_exported_as_they_were_taken(done, tmp_path):
    record, session, _ = done
    exported = export_run(record, tmp_path)
    files = [path for path in exported.files if "calcium" in path.name]
    assert [path.name[9:] for path in files] == [f"000{n}-calcium.ome.tif" for n in (1, 2, 3)]
    assert exported.missing == ()
    calcium = session.config.calcium
    for path, event in zip(files, record.events("primary"), strict=True):
        parts = [record.array(f"microscope_{part}", event) for part in ("baseline", "response")]
        with tifffile.TiffFile(path) as tiff:
            np.testing.assert_array_equal(tiff.series[0].asarray(), np.concatenate(parts))
            told = tiff.ome_metadata
        assert f'TimeIncrement="{1 / calcium.frame_rate_Hz:g}"' in told
        assert '<M K="pulse_after_frame">3</M>' in told
        assert f'<M K="dwelltime_us">{calcium.dwelltime_us}</M>' in told
        assert f'PhysicalSizeX="{calcium.pixel_size_nm / 1000:g}"' in told


def test_every_spine_has_one_event_with_its_pulse_and_objectives(done):
    record, _, application = done
    events = record.events("primary")

    assert record.start["plan_name"] == "optimize_uncaging"
    assert len(events) == 3
    pulses = [r for r in application.emission_log if r.laser == "LAS0"]
    assert len(pulses) == 3
    for event, pulse in zip(events, pulses, strict=True):
        data = event["data"]
        assert pulse.power_W == pytest.approx(data["uncaging_power_uW"] * 1e-6)
        assert 0.5 <= data["uncaging_distance_um"] <= 3
        assert math.hypot(data["spine_axis_x"], data["spine_axis_y"]) == pytest.approx(1)
        assert data["region_x_um"] == data["spine_head_x_um"]
        assert data["objective_df_over_f_peak"] >= 0
        assert 0 <= data["objective_response_size_ratio"] <= 1


def test_frames_are_kept_as_stream_assets(done):
    record, *_ = done
    assert [a.shape for a in record.arrays("microscope_baseline")] == [(3, 120, 120)] * 3
    assert [a.shape for a in record.arrays("microscope_response")] == [(4, 120, 120)] * 3


def test_the_strategy_learns_what_was_rated(done):
    record, session, _ = done
    assert session.strategy.suggest().iteration == 3
    assert [set(v) for _, v in record.observations] == [
        {"df_over_f_peak", "response_size_ratio"}
    ] * 3


def test_a_resumed_run_goes_on_with_the_spines_that_are_left(done):
    record, session, _ = done
    config = config_of(record)
    left = places_left(read_chain(session.folder, record.uid), config).regions
    all_spines = sites_of(config)(
        session.station.overview.image, config.overview.pixel_size_nm, (0.0, 0.0)
    )

    assert list(left) == all_spines[3:]
    assert all(isinstance(spine, Spine) and spine.free_um == 3.0 for spine in left)
    imaged = [
        (e["data"]["spine_head_x_um"], e["data"]["spine_head_y_um"])
        for e in record.events("primary")
    ]
    assert imaged == [(s.x_um, s.y_um) for s in all_spines[:3]]


def test_the_lasers_are_off_when_a_run_is_over(done):
    _, session, application = done
    assert not any(application.emitting.values())
    instrument = session.instrument
    for configuration in ("calcium", "uncaging", "overview", "sted", "confocal"):
        assert not any(instrument.power(configuration, laser) for laser in instrument.lasers)


def test_more_images_than_spines_are_told_with_what_would_help(tmp_path):
    with (
        opened(tmp_path / "catalogue", images=500) as (session, _, engine),
        pytest.raises(
            NotEnoughRegionsError,
            match=r"images = 500: only \d+ spines are found whose axis is free up to 3 µm",
        ),
    ):
        engine(session.optimize())


def test_regions_that_are_no_spines_are_refused_before_the_run(bench):
    session, application, engine = bench
    with pytest.raises(ValueError, match="only spines are uncaged"):
        engine(session.optimize(1, regions=[Region(0.0, 0.0, 1.0)]))
    assert application.emission_log == []


def with_list(spines):
    keys = ("x_um", "y_um", "axis_x", "axis_y")
    return [{key: getattr(spine, key) for key in keys} for spine in spines]


def test_a_list_of_spines_is_taken_in_its_order(done, tmp_path):
    _, first, _ = done
    config = first.config
    spines = sites_of(config)(
        first.station.overview.image, config.overview.pixel_size_nm, (0.0, 0.0)
    )
    chosen = [spines[5], spines[1]]
    listed = with_list(chosen)
    with opened(tmp_path / "catalogue", images=2, **{"uncaging.spines": listed}) as (
        session,
        _,
        engine,
    ):
        engine(session.optimize())
        (path,) = journal_paths(session.folder)
        events = RunRecord.read(path).events("primary")
    assert [e["data"]["spine_head_x_um"] for e in events] == [s.x_um for s in chosen]


def test_each_spine_of_a_list_is_used_at_its_own_field(done, tmp_path):
    """A spine of another field would be uncaged at whatever there is in this one."""
    _, first, _ = done
    config = first.config
    overview = first.station.overview.image
    one, other, third = sites_of(config)(overview, config.overview.pixel_size_nm, (0.0, 0.0))[:3]
    elsewhere = dataclasses.replace(other, stage_x_um=24.0)
    sites = SpineSites(1.0, 3.0, (elsewhere, one, third))
    laid = [sites(overview, config.overview.pixel_size_nm, at) for at in ((0, 0), (24, 0), (48, 0))]
    assert laid == [[one, third], [elsewhere], []]
    # The list's own numbers are told, not those of the field.
    inwards = dataclasses.replace(third, axis_x=-third.axis_x, axis_y=-third.axis_y)
    refusing = SpineSites(1.0, 3.0, (elsewhere, one, inwards))
    with pytest.raises(SpineRefusedError, match="spine 3 of the list"):
        refusing(overview, config.overview.pixel_size_nm, (0.0, 0.0))


def test_a_spine_of_a_list_that_points_at_its_dendrite_gets_no_pulse(done, tmp_path):
    _, first, _ = done
    config = first.config
    spine = sites_of(config)(
        first.station.overview.image, config.overview.pixel_size_nm, (0.0, 0.0)
    )[0]
    inwards = Spine(spine.x_um, spine.y_um, 1.0, -spine.axis_x, -spine.axis_y)
    listed = with_list([inwards])
    with (
        opened(tmp_path / "catalogue", images=1, **{"uncaging.spines": listed}) as (
            session,
            application,
            engine,
        ),
        pytest.raises(SpineRefusedError, match=r"spine 1 of the list, at .*3 µm are needed"),
    ):
        engine(session.optimize())
    assert not [r for r in application.emission_log if r.laser in ("LAS0", "LAS5", "LAS6")]
    (path,) = journal_paths(session.folder)
    chain = read_chain(session.folder, RunRecord.read(path).uid)
    with pytest.raises(ConfigError, match=r"spine 1 of the list, at .*3 µm are needed"):
        places_left(chain, config_of(chain.last))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sample.name": "actin"}, "sample.name = 'actin': 'dendrites' with uncaging"),
        ({"uncaging.cells": 4}, "uncaging.cells = 4: at most 3 in a field of 24 µm"),
    ],
)
def test_a_sample_that_is_not_one_of_spines_is_refused(changes, message):
    config = preset("uncaging").updated({**SMALL, **changes})
    with pytest.raises(ConfigError, match=message):
        connect_application(config)


def test_dendrites_without_uncaging_are_refused():
    config = preset("classical").updated({"sample.name": "dendrites"})
    with pytest.raises(ConfigError, match=r"sample\.name = 'dendrites': only with uncaging"):
        connect_application(config)


def test_calcium_objectives_without_uncaging_are_refused():
    config = preset("classical").updated({"objectives": [{"name": "df_over_f_peak"}]})
    with pytest.raises(ConfigError, match=r"needs Ca²⁺ frames, .* \(uncaging\.enabled = false\)"):
        connect_application(config)


# --- the order of spines -----------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2, 3, 7, 50, 128])
def test_the_order_is_one_of_all_spines(number):
    spines = [Spine(float(i), 0.0, 1.0, 1.0, 0.0) for i in range(number)]
    assert sorted(s.x_um for s in spread(spines)) == list(range(number))


@pytest.mark.parametrize("first", [8, 20, 40])
def test_every_beginning_is_spread_over_the_whole(first):
    spines = [Spine(float(i), 0.0, 1.0, 1.0, 0.0) for i in range(120)]
    beginning = sorted(s.x_um for s in spread(spines)[:first])
    assert np.diff([0, *beginning, 120]).max() <= 2 * 120 / first


def test_what_is_missing_from_a_list_is_told():
    sites = SpineSites(1.0, 3.0, (Spine(0.0, 0.0, 1.0, 1.0, 0.0),))
    assert sites.too_few(1) == "the list has 1 spines; plan fewer images"
    assert sites.too_few(0).startswith("the list has 0 spines at this position of the stage;")
