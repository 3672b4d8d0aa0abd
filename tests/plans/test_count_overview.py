import pytest
from ophyd.utils import LimitError

from stedopt_bluesky.plans.count_overview import count_overview


def test_overviews_are_events_and_nothing_else_is_imaged(bench):
    session = bench.session
    bench.engine(count_overview(session.station, overviews=2, md=session.metadata))
    (start,) = bench.of("start")
    assert (start["plan_name"], start["sample"]) == ("count_overview", "actin")
    assert len(bench.events("overview")) == 2
    assert {d["name"] for d in bench.of("descriptor")} == {"overview"}
    assert bench.of("stop")[0]["exit_status"] == "success"
    assert bench.lasers_are_off()


@pytest.mark.parametrize("overviews", [0, 1.5])
def test_a_number_of_overviews_that_is_none_is_refused(bench, overviews):
    with pytest.raises(ValueError, match=f"overviews = {overviews}: .*at least 1"):
        bench.engine(count_overview(bench.session.station, overviews=overviews))
    assert bench.documents == []


def test_a_place_out_of_reach_is_refused_before_anything_moves(bench):
    with pytest.raises(LimitError, match="stage_x_um = 100000 µm"):
        bench.engine(count_overview(bench.session.station, field_um=(1e5, 0.0)))
    assert bench.documents == []
