import json
import math
import shutil

import numpy as np
import pytest
from bluesky import RunEngine
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.acquisition import PriorObservation
from stedopt_bluesky.config import ConfigError
from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run
from stedopt_bluesky.records.replay import rerun_decisions
from stedopt_bluesky.records.resume import RESUMES, read_chain
from stedopt_bluesky.session import (
    config_of,
    connect_application,
    make_choose,
    make_strategy,
    open_session,
    places_left,
    prior_observations,
    prior_of,
)
from stedopt_bluesky.session import prior as prior_module
from stedopt_bluesky.session.metadata import start_metadata
from stedopt_bluesky.session.reduced import reduced
from stedopt_bluesky.session.stored import reduced_from

PARAMETERS = [
    {"name": "depletion_power_mW", "low": 50.0, "high": 200.0, "points": 4},
    {"name": "dwelltime_us", "low": 5.0, "high": 45.0, "points": 3},
]
OBJECTIVES = [{"name": "snr"}, {"name": "photobleaching"}, {"name": "imaging_time_s"}]
HEADER = "depletion_power_mW,dwelltime_us,snr,photobleaching\n"


@pytest.fixture(scope="session")
def small(config):
    """Function that changes an experiment of 12 configurations and three objectives."""
    base = config.updated(
        {"parameters": PARAMETERS, "objectives": OBJECTIVES, "images": 3, "seed": 4}
    )
    return lambda **changes: base.updated(changes)


def imaged(config, folder, *, images=None, regions=None, md=None, **options):
    """Image, and give the record of the run."""
    engine = RunEngine({}, context_managers=[])
    application = connect_application(config)
    with open_session(config, application, folder, run_engine=engine, **options) as session:
        (uid,) = engine(session.optimize(images, regions=regions, md=md))
        return RunRecord.read(find_run(session.folder, uid))


@pytest.fixture(scope="module")
def earlier(small, tmp_path_factory):
    """A run in a catalogue of its own. Read only."""
    return imaged(small(), tmp_path_factory.mktemp("earlier") / "cat")


@pytest.fixture(scope="module")
def catalog(earlier):
    return earlier.path.parents[2]


@pytest.fixture
def table(tmp_path):
    """Function that writes a table and gives its path."""

    def write(text, encoding="utf-8"):
        path = tmp_path / "prior.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return str(path)

    return write


def plain(observations):
    return [(dict(o.configuration), dict(o.values), o.weight) for o in observations]


# --- what is read -----------------------------------------------------------------------


def test_nothing_named_is_nothing_read(small, tmp_path):
    assert prior_observations(small(), tmp_path / "no catalogue") == ()


def test_the_images_of_a_run(small, earlier, catalog):
    config = small(**{"prior.runs": [earlier.uid[:8]], "prior.weight": 0.25})
    expected = [
        (
            small().space.configuration(index),
            {k: values[k] for k in ("snr", "photobleaching")},
            0.25,
        )
        for index, values in earlier.observations
    ]
    for folder in (catalog, str(catalog), CatalogFolder.open(catalog)):
        assert plain(prior_observations(config, folder)) == expected


def test_a_run_with_another_grid_seed_and_order(small, earlier, catalog):
    """What was measured does not depend on what else could have been."""
    config = small(
        **{
            "parameters": [
                {"name": "dwelltime_us", "values": [7.0, 8.0]},
                {"name": "depletion_power_mW", "low": 0.0, "high": 10.0, "points": 2},
            ],
            "objectives": OBJECTIVES[::-1],
            "seed": 99,
            "prior.runs": [earlier.uid],
        }
    )
    same = small(**{"prior.runs": [earlier.uid]})
    assert plain(prior_observations(config, catalog)) == plain(prior_observations(same, catalog))


def test_a_run_that_goes_on_with_another_gives_its_own_images(small, earlier, catalog, tmp_path):
    shutil.copytree(catalog, tmp_path / "cat")
    md = {RESUMES: earlier.uid}
    later = imaged(small(), tmp_path / "cat", images=1, history=earlier.observations, md=md)

    own = prior_observations(small(**{"prior.runs": [later.uid]}), tmp_path / "cat")
    both = prior_observations(small(**{"prior.runs": [earlier.uid, later.uid]}), tmp_path / "cat")

    assert (len(own), len(both)) == (1, 4)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_table(small, table, encoding, newline):
    """Columns in any order, others beside them, invalid objectives, empty rows."""
    lines = [
        "note, snr ,dwelltime_us,objective_photobleaching,depletion_power_mW,imaging_time_s",
        '"good, sharp",0.5,20,0.25,100,1',
        ",,5.5,-0.1,1e3,1",
        ",,,,,",
        ",1e-3,45,nan,0,1",
        "",
    ]
    path = table(newline.join(lines), encoding)
    observations = prior_observations(small(**{"prior.csv": path}), "nowhere")
    assert plain(observations) == [
        (
            {"depletion_power_mW": 100.0, "dwelltime_us": 20.0},
            {"snr": 0.5, "photobleaching": 0.25},
            1.0,
        ),
        ({"depletion_power_mW": 1000.0, "dwelltime_us": 5.5}, {"photobleaching": -0.1}, 1.0),
        ({"depletion_power_mW": 0.0, "dwelltime_us": 45.0}, {"snr": 0.001}, 1.0),
    ]


def test_a_table_of_a_runs_events_is_the_run(small, earlier, catalog, table):
    """As written by pandas from the catalogue: every column of the stream."""
    columns = earlier.table("primary")
    lines = [",".join(columns)]
    lines += [",".join(str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    from_table = prior_observations(small(**{"prior.csv": table("\n".join(lines))}), "nowhere")
    from_run = prior_observations(small(**{"prior.runs": [earlier.uid]}), catalog)
    assert plain(from_table) == plain(from_run)


def test_runs_come_before_the_table(small, earlier, catalog, table):
    path = table(HEADER + "60,7,0.5,0.5\n")
    config = small(**{"prior.csv": path, "prior.runs": [earlier.uid]})
    observations = prior_observations(config, catalog)
    assert len(observations) == 4
    assert observations[3].configuration == {"depletion_power_mW": 60.0, "dwelltime_us": 7.0}


def test_rows_without_any_valid_objective_are_counted(small, table, caplog):
    path = table(HEADER + "60,7,,\n60,7,0.5,\n60,7,NaN,nan\n")
    assert len(prior_observations(small(**{"prior.csv": path}), "nowhere")) == 1
    assert "2 of 3 rows have no valid objective and are left out" in caplog.text


finite = st.floats(allow_nan=False, allow_infinity=False)


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.none() | finite, finite),
        min_size=1,
        max_size=8,
    )
)
def test_numbers_come_through_a_table_exactly(tmp_path_factory, small, rows):
    path = tmp_path_factory.mktemp("table") / "prior.csv"
    lines = (",".join("" if v is None else repr(v) for v in row) for row in rows)
    path.write_text(HEADER + "\n".join(lines))
    observations = prior_observations(small(**{"prior.csv": str(path)}), "nowhere")
    assert [
        (*o.configuration.values(), o.values.get("snr"), o.values["photobleaching"])
        for o in observations
    ] == rows


# --- what is refused --------------------------------------------------------------------

BAD_TABLES = [
    ("", "no column depletion_power_mW; it has no header"),
    ("\n", "no column depletion_power_mW; it has no header"),
    (HEADER, "no row: at least one is needed"),
    (HEADER + ",,,\n", "no row: at least one is needed"),
    (HEADER + "60,7,,\n", "none of its 1 rows has a valid objective: at least one is needed"),
    (
        "depletion_power_mW,dwelltime,snr,photobleaching\n60,7,1,1\n",
        "no column dwelltime_us; it has depletion_power_mW, dwelltime, snr, photobleaching",
    ),
    (HEADER.replace("snr", "SNR") + "60,7,1,1\n", "no column snr; it has "),
    (HEADER.replace(",", ";") + "60;7;1;1\n", "expected commas between the columns"),
    (HEADER.replace("snr", "snr,objective_snr") + "60,7,1,1,1\n", "column snr is there 2 times"),
    (HEADER + "60,7,0.5,0.5\n60,x,0.5,0.5\n", "line 3, dwelltime_us = 'x': a finite number"),
    (HEADER + "60,,0.5,0.5\n", "line 2, dwelltime_us = '': a finite number, at least 0"),
    (HEADER + "60,nan,0.5,0.5\n", "line 2, dwelltime_us = 'nan': a finite number, at least 0"),
    (HEADER + "-1,7,0.5,0.5\n", "line 2, depletion_power_mW = '-1': a finite number, at least 0"),
    (HEADER + "60,7,0.5,bad\n", "line 2, photobleaching = 'bad': a finite number, or empty"),
    (HEADER + "60,7,inf,0.5\n", "line 2, snr = 'inf': a finite number, or empty"),
    (HEADER + "60,7,1_0,0.5\n", "line 2, snr = '1_0': a finite number, or empty"),
    (HEADER + "60,7,0.5\n", "line 2 has 3 cells; expected 4, as the header"),
    (HEADER + "60,7,0,5,0,5\n", "line 2 has 6 cells; expected 4, as the header"),
    (HEADER + '60,7,"0.5,0.5\n', "unexpected end of data"),
    (
        "line_steps," + HEADER + "1,60,7,0.5,0.5\n2,60,7,0.5,0.5\n",
        "line 3, line_steps = 2: this experiment does not optimise it; expected its fixed value, 1",
    ),
    (b"\xff\xfed\x00", "expected a CSV file in UTF-8; byte 0 is not"),
    (HEADER.encode() + b"60,7,\xe9,1\n", "expected a CSV file in UTF-8"),
]


@pytest.mark.parametrize(("text", "words"), BAD_TABLES)
def test_a_table_that_cannot_be_used_is_told_in_one_line(small, table, text, words):
    path = table(text)
    with pytest.raises(ConfigError) as caught:
        prior_observations(small(**{"prior.csv": path}), "nowhere")
    message = str(caught.value)
    assert message.startswith(f"prior.csv = {path!r}: ")
    assert words in message
    assert "\n" not in message


def test_what_is_no_file(small, tmp_path):
    for path in (tmp_path, tmp_path / "nowhere.csv"):
        with pytest.raises(ConfigError, match=r"^prior.csv = .*: expected a CSV file$"):
            prior_observations(small(**{"prior.csv": str(path)}), "nowhere")


def test_too_many_rows(small, table, monkeypatch):
    monkeypatch.setattr(prior_module, "MAX_OBSERVATIONS", 3)
    path = table(HEADER + "60,7,0.5,0.5\n" * 4)
    with pytest.raises(ConfigError, match="more than 3 rows: at most that many"):
        prior_observations(small(**{"prior.csv": path}), "nowhere")


def changed_journal(catalog, target, change):
    """Copy a catalogue with one run, and change each of its documents in place."""
    shutil.copytree(catalog, target)
    (path,) = target.glob("journal/*/*.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    kept = [record for record in records if change(*record) is not False]
    path.write_text("".join(json.dumps(record) + "\n" for record in kept))
    return target


def invalid(name, doc):
    data = doc.get("data", {})
    data.update({k: math.nan for k in data if k.startswith("objective_")})


def in_watts(name, doc):
    if name == "descriptor" and doc["name"] == "primary":
        doc["data_keys"]["depletion_power_mW"]["units"] = "W"


BAD_RUNS = [
    (lambda name, doc: name != "event", "no image: at least one is needed"),
    (invalid, "none of its 3 images has a valid objective"),
    (in_watts, "it has depletion_power_mW in W; expected mW"),
    (lambda name, doc: doc.pop("stedopt", None) and None, "was not made by stedopt"),
    (
        lambda name, doc: doc.get("data", {}).update(image_configuration_index=12),
        "configuration 12 is outside 0 … 11",
    ),
    (lambda name, doc: name != "start", "does not begin with a start document"),
]


@pytest.mark.parametrize(("change", "words"), BAD_RUNS)
def test_a_run_that_cannot_be_used_is_told_in_one_line(
    small, earlier, catalog, tmp_path, change, words
):
    folder = changed_journal(catalog, tmp_path / "cat", change)
    with pytest.raises(ConfigError) as caught:
        prior_observations(small(**{"prior.runs": [earlier.uid[:8]]}), folder)
    message = str(caught.value)
    assert message.startswith(f"prior.runs.0 = {earlier.uid[:8]!r}: ")
    assert words in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"parameters": PARAMETERS[:1]},
            "it optimised depletion_power_mW, dwelltime_us; "
            "expected the same as in this experiment, depletion_power_mW",
        ),
        (
            {"objectives": [{"name": "snr"}, {"name": "frc"}]},
            "it modelled snr, photobleaching; expected the same as in this experiment, snr, frc",
        ),
        (
            {"imaging.excitation_power_uW": 3.0},
            "it imaged with excitation_power_uW = 10; expected as in this experiment, 3",
        ),
    ],
)
def test_a_run_of_another_experiment(small, earlier, catalog, changes, words):
    with pytest.raises(ConfigError) as caught:
        prior_observations(small(**changes, **{"prior.runs": [earlier.uid]}), catalog)
    assert words in str(caught.value)


def test_runs_that_are_not_there_or_there_twice(small, earlier, catalog):
    for runs, words in (
        (["ffffffff-"], r"^prior.runs.0 = 'ffffffff-': no run in "),
        ([earlier.uid, earlier.uid[:6]], r"^prior.runs.1 = .* is there twice: each run once"),
        ([""], r"^prior.runs.0 = '': give the first characters"),
    ):
        with pytest.raises(ConfigError, match=words):
            prior_observations(small(**{"prior.runs": runs}), catalog)


def test_an_experiment_without_models_has_nothing_to_learn(small, table):
    path = table("depletion_power_mW,dwelltime_us\n60,7\n")
    config = small(**{"objectives": OBJECTIVES[2:], "prior.csv": path})
    with pytest.raises(ConfigError, match="none of its 1 rows has a valid objective"):
        prior_observations(config, "nowhere")


# --- in a run ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def taught(small, earlier, catalog, tmp_path_factory):
    """A run that began with another one and a table, both gone since; its catalogue and cloud."""
    folder = tmp_path_factory.mktemp("taught") / "cat"
    shutil.copytree(catalog, folder)
    path = folder.parent / "prior.csv"
    path.write_text(HEADER + "110,33.3,0.1,0.9\n60,7,,0.1\n")
    config = small(**{"prior.runs": [earlier.uid], "prior.csv": str(path), "prior.weight": 0.3})
    begun_with = prior_observations(config, folder)
    record = imaged(config, folder, images=2)
    path.unlink()
    find_run(CatalogFolder.open(folder), earlier.uid).unlink()
    return record, begun_with


def test_the_start_document_holds_what_the_models_began_with(taught):
    record, begun_with = taught
    assert len(begun_with) == 5
    assert plain(prior_of(record)) == plain(begun_with)


def test_a_run_without_has_none(earlier):
    assert prior_of(earlier) == ()
    assert "prior_observations" not in earlier.start["stedopt"]
    assert reduced_from(earlier) == ""


def test_what_was_given_changes_the_first_cloud(taught, earlier):
    record, _ = taught
    assert not np.array_equal(record.clouds[0], earlier.clouds[0])


def test_every_decision_is_made_again_without_the_table_and_the_run(taught):
    record, _ = taught
    config = config_of(record)

    def decisions(prior):
        strategy = make_strategy(config, (), prior)
        return rerun_decisions(record, lambda _: strategy, make_choose(config), compare_clouds=True)

    again = decisions(prior_of(record))
    assert len(again) == 2
    assert all(decision.same for decision in again)
    assert not any(decision.same_cloud for decision in decisions(()))


def test_a_resumed_run_goes_on_as_if_it_had_not_stopped(taught, tmp_path):
    record, begun_with = taught
    config = config_of(record)
    unbroken = imaged(config, tmp_path / "cat", images=4, prior=begun_with)
    folder = CatalogFolder.open(record.path.parents[2])
    chain = read_chain(folder, record.uid)

    resumed = imaged(
        config,
        folder,
        images=2,
        history=chain.history,
        prior=prior_of(record),
        regions=places_left(chain, config).regions,
        md={RESUMES: record.uid},
    )

    # The twin's noise is drawn anew in a new session: the first cloud depends on neither.
    np.testing.assert_array_equal(record.clouds[0], unbroken.clouds[0])
    uninterrupted = make_strategy(config, record.observations, begun_with)
    np.testing.assert_array_equal(resumed.clouds[0], uninterrupted.suggest().values)
    assert plain(prior_of(resumed)) == plain(begun_with)


def test_given_observations_go_before_what_the_configuration_names(small, tmp_path):
    """Nothing is read: there is no such table."""
    config = small(**{"prior.csv": str(tmp_path / "gone.csv")})
    given_one = PriorObservation(
        {"depletion_power_mW": 60, "dwelltime_us": np.float64(7)}, {"snr": np.float32(0.5)}
    )
    application = connect_application(config)
    with open_session(config, application, tmp_path / "cat", prior=[given_one]) as session:
        told = session.metadata["stedopt"]["prior_observations"]
    assert json.loads(json.dumps(told)) == [
        {
            "configuration": {"depletion_power_mW": 60.0, "dwelltime_us": 7.0},
            "values": {"snr": 0.5},
            "weight": 1.0,
        }
    ]


def test_a_table_that_is_not_there_leaves_nothing_behind(small, tmp_path):
    config = small(**{"prior.csv": str(tmp_path / "gone.csv")})
    application = connect_application(config)
    with (
        pytest.raises(ConfigError, match=r"prior.csv"),
        open_session(config, application, tmp_path / "cat"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []
    assert application.measurement_names() == []


@pytest.mark.parametrize(
    "listed",
    [
        5,
        ["x"],
        [{}],
        [{"configuration": {}, "values": 3, "weight": 1}],
        [{"configuration": {"a": "b"}, "values": {}, "weight": 1}],
    ],
)
def test_a_start_document_with_something_else(tmp_path, listed):
    start = {"uid": "abcdefgh-1", "time": 0.0, "stedopt": {"prior_observations": listed}}
    with pytest.raises(ConfigError, match=r"^run abcdefgh: stedopt.prior_observations"):
        prior_of(RunRecord(tmp_path / "x.jsonl", (("start", start),)))


def test_the_start_document_names_the_run_that_the_grid_was_reduced_to(small, earlier, tmp_path):
    smaller = reduced(small(), earlier)
    record = imaged(smaller, tmp_path / "cat", images=1, reduced_from=earlier.uid)
    assert reduced_from(record) == earlier.uid
    assert config_of(record) == smaller
    assert smaller.space != small().space


def test_without_prior_knowledge_the_start_document_says_nothing_of_it(small):
    application = connect_application(small())
    said = start_metadata(small(), application)["stedopt"]
    assert set(said) == {"version", "config", "stage_origin_um"}
