"""Several fields by moves of the stage, regions by hand, the same region again."""

import pytest
from ophyd.utils import LimitError

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.config import preset
from stedopt_bluesky.devices.stage import StageError
from stedopt_bluesky.plans.optimize import NotEnoughRegionsError
from stedopt_bluesky.records.resume import RESUMES, close_for_resume, read_chain
from stedopt_bluesky.session import (
    config_of,
    connect_application,
    light_of,
    open_session,
    places_left,
    stage_origin_of,
)
from stedopt_bluesky.twin.faults import FaultyApplication

# Two fields of 15 µm in a sample of 30 µm around the first one; three regions of each.
TWO_FIELDS = {
    "overview.size_um": 10.0,
    "overview.minimum_foreground": 0.02,
    "overview.most_regions": 3,
    "stage.columns": 2,
    "images": 5,
}


def where(events):
    keys = ("stage_x_um", "stage_y_um", "region_x_um", "region_y_um")
    return [tuple(e["data"][key] for key in keys) for e in events]


def test_the_stage_goes_to_the_next_field_when_one_has_no_more_regions(make_bench):
    bench = make_bench(**TWO_FIELDS)
    bench.engine(bench.session.optimize())
    assert [e["data"]["stage_x_um"] for e in bench.events("overview")] == [0, 10]
    imaged = where(bench.events("primary"))
    assert [stage_x for stage_x, *_ in imaged] == [0, 0, 0, 10, 10]
    assert len(set(imaged)) == 5
    assert bench.of("stop")[0]["exit_status"] == "success"
    assert bench.lasers_are_off()


def test_each_field_is_in_focus(make_bench):
    bench = make_bench(**TWO_FIELDS)
    bench.engine(bench.session.optimize())
    instrument = bench.session.instrument
    for configuration in ("overview", "confocal", "sted"):
        assert instrument.value(configuration, "autofocus") is True
        assert instrument.value(configuration, "stage_at_x_um") == pytest.approx(1510.0)


def test_fields_without_regions_enough(make_bench):
    bench = make_bench(**TWO_FIELDS)
    with pytest.raises(NotEnoughRegionsError, match="6 were taken; 2 fields have no more regions"):
        bench.engine(bench.session.optimize(images=9))
    assert len(bench.events("primary")) == 6


def test_a_field_out_of_reach_is_refused_before_anything_moves(make_bench):
    bench = make_bench(**{**TWO_FIELDS, "stage.reach_um": 10.0})
    with pytest.raises(LimitError, match="stage_x_um = 11 µm: -10 to 10 µm is allowed"):
        bench.engine(bench.session.optimize(fields_um=[(0.0, 0.0), (11.0, 0.0)]))
    assert bench.documents == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("autofocus lost", "the autofocus is off: the focus was lost"),
        ("stage not there", "the stage was sent to x = 1510.0 µm and stands at 1530.0 µm"),
    ],
)
def test_a_stage_that_fails_ends_the_run_and_it_can_be_gone_on_with(tmp_path, fault, says):
    config = preset("classical").updated(
        {"microscope.field_um": 30.0, "imaging.region_size_um": 1.28, **TWO_FIELDS}
    )
    # Overview, three images of three scans each, the second overview, one image: then it fails.
    faulty = FaultyApplication(connect_application(config), fault, scan=13)
    stops = []
    with open_session(config, faulty, tmp_path / "cat") as session:
        session.run_engine.subscribe(lambda _, doc: stops.append(doc), "stop")
        with pytest.raises(StageError):
            session.run_engine(session.optimize())
        folder = session.folder
    (stop,) = stops
    assert (stop["exit_status"], stop["reason"]) == ("fail", says)
    assert not any(faulty.twin.emitting.values())

    (uid,) = {stop["run_start"]}
    chain = read_chain(folder, uid)
    assert len(chain.history) == 4
    close_for_resume(folder, uid)
    places = places_left(chain, config_of(chain.last))
    # A region that was decided for may have got light: it is left out.
    assert ([r.stage_x_um for r in places.regions], places.fields_um) == ([10], ())
    with open_session(
        config,
        connect_application(config),
        folder,
        history=chain.history,
        stage_origin_um=stage_origin_of(chain.last),
    ) as session:
        session.run_engine(
            session.optimize(
                1, regions=places.regions, fields_um=places.fields_um, md={RESUMES: uid}
            )
        )
        newest = session._last.uid
    chain = read_chain(folder, newest)
    imaged = [e for record in chain.records for e in record.events("primary")]
    assert len(set(where(imaged))) == len(imaged) == 5


def test_a_run_that_goes_on_finds_the_place_of_the_earlier_one(tmp_path):
    """The stage has stayed where the earlier run left it."""
    config = preset("classical").updated(
        {"microscope.field_um": 30.0, "imaging.region_size_um": 1.28, **TWO_FIELDS}
    )
    application = connect_application(config)
    with open_session(config, application, tmp_path / "cat") as session:
        session.run_engine(session.optimize())
        chain = read_chain(session.folder, session._last.uid)
    origin_um = stage_origin_of(chain.last)
    assert origin_um == pytest.approx((1500.0, -800.0))
    with open_session(config, application, tmp_path / "cat", stage_origin_um=origin_um) as session:
        stage = session.station.stage
        assert (stage.stage_x_um.get(), stage.stage_y_um.get()) == (10, 0)


# --- by hand ----------------------------------------------------------------------------


def test_regions_of_the_configuration_need_no_overview(make_bench):
    by_hand = [{"x_um": 1.0, "y_um": 2.0}, {"x_um": -3.0, "y_um": 0.0, "stage_x_um": 5.0}]
    bench = make_bench(regions=by_hand, images=2)
    bench.engine(bench.session.optimize())
    assert bench.events("overview") == []
    assert where(bench.events("primary")) == [(0, 0, 1, 2), (5, 0, -3, 0)]


def test_rectangles_are_filled(make_bench):
    drawn = [{"x_um": 0.0, "y_um": 0.0, "width_um": 3.0, "height_um": 1.5}]
    bench = make_bench(rectangles=drawn, images=2)
    bench.engine(bench.session.optimize())
    assert where(bench.events("primary")) == [(0, 0, -0.64, 0), (0, 0, 0.64, 0)]


def test_a_run_of_regions_by_hand_is_gone_on_with(make_bench):
    by_hand = [{"x_um": float(x), "y_um": 0.0} for x in range(-6, 6, 2)]
    bench = make_bench(regions=by_hand, images=6)
    bench.engine(bench.session.optimize(images=2))
    chain = read_chain(bench.session.folder, bench.of("start")[0]["uid"])
    left = places_left(chain, config_of(chain.last))
    assert [r.x_um for r in left.regions] == [-2, 0, 2, 4]


# --- again ------------------------------------------------------------------------------


def test_a_time_lapse_is_of_one_region(make_bench):
    bench = make_bench(**{"time_lapse.images_per_region": 3, "images": 3})
    bench.engine(bench.session.optimize())
    imaged = bench.events("primary")
    assert len(set(where(imaged))) == 1
    # The region bleaches from image to image.
    first, *_, last = (images.confocal1.mean() for images in bench.imaged)
    assert last < first


def test_the_next_region_has_its_turn_after_its_images(make_bench):
    bench = make_bench(**{"time_lapse.images_per_region": 2, "images": 4})
    bench.engine(bench.session.optimize())
    one, again, other, other_again = where(bench.events("primary"))
    assert one == again != other == other_again


def test_images_of_one_region_keep_their_interval(make_bench):
    region = Region(0.0, 0.0, 1.28)
    bench = make_bench(**{"time_lapse.interval_s": 0.5, "images": 3})
    bench.engine(bench.session.optimize(regions=[region] * 3))
    times = [e["time"] for e in bench.events("decision")]
    # The time of the decision itself comes on top of the beginning.
    assert times[2] - times[1] > 0.45


def test_a_region_that_has_had_its_light_is_left_out(make_bench):
    """The dose is the region's: also of the images before."""
    region, other = Region(0.0, 0.0, 1.28), Region(4.0, 0.0, 1.28)
    bench = make_bench(
        **{
            "parameters": [{"name": "depletion_power_mW", "values": [100.0]}],
            "limits.region_dose_mJ": 10.0,
            "images": 2,
        }
    )
    # One image is 4096 pixels of 20 µs at 100 mW: 8.2 mJ.
    bench.engine(bench.session.optimize(regions=[region, region, other]))
    assert [x for *_, x, _ in where(bench.events("primary"))] == [0, 4]


def test_a_run_that_goes_on_knows_what_its_regions_have_got(make_bench, tmp_path):
    bench = make_bench(**{"time_lapse.images_per_region": 2, "images": 2})
    bench.engine(bench.session.optimize(images=1))
    chain = read_chain(bench.session.folder, bench.of("start")[0]["uid"])
    ((place_um, lit_um, dose_mJ),) = light_of(chain)
    (event,) = bench.events("primary")
    data = event["data"]
    assert place_um == (data["region_x_um"], data["region_y_um"])
    assert dose_mJ > 0
    # So much and no more is allowed: the region is spent, and there is no other one.
    limited = config_of(chain.last).updated(
        {
            "limits.region_dose_mJ": 1000.0,
            "images": 1,
            "parameters": [
                {"name": "depletion_power_mW", "values": [300.0]},
            ],
        }
    )
    places = places_left(chain, config_of(chain.last))
    with (
        open_session(
            limited,
            connect_application(limited),
            tmp_path / "cat",
            light_before=[(place_um, lit_um, 999.0)],
        ) as session,
        pytest.raises(NotEnoughRegionsError),
    ):
        session.run_engine(session.optimize(regions=places.regions[:1]))
