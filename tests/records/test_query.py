"""The same question to journals and to Tiled has the same answer."""

from datetime import date, datetime

import pytest

from stedopt_bluesky.records.catalog import Catalog
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.query import Condition, RunQuery, timestamp
from stedopt_bluesky.records.runs import list_runs

DAY = 86_400.0
SHA = "ab12" * 16


@pytest.fixture(scope="module")
def catalog(tmp_path_factory, small):
    """Five runs of one to five images, whose last ones are better and worse."""
    folder = CatalogFolder.create_or_open(tmp_path_factory.mktemp("query") / "catalogue")
    for n in range(1, 6):
        small["record_run"](
            folder,
            n,
            sample="ab"[n % 2],
            structure="actin" if n < 3 else "tubulin",
            operator="AD" if n == 4 else "BC",
            parameters=["dwelltime_us"] if n == 2 else ["dwelltime_us", "line_steps"],
            objectives=["quality", "photobleaching"],
            networks={"quality": {"name": "fcn-twin" if n < 4 else "fcn-lab", "sha256": SHA}},
            seed=n,
        )
    with Catalog(folder) as catalog:
        yield catalog


QUERIES = [
    ({}, [1, 2, 3, 4, 5]),
    ({"sample": "a"}, [2, 4]),
    ({"structure": "actin"}, [1, 2]),
    ({"sample": "b", "structure": "tubulin"}, [3, 5]),
    ({"preset": "live_far_red", "operator": "AD"}, [4]),
    ({"plan": "optimize_sted"}, [1, 2, 3, 4, 5]),
    ({"plan": "count"}, []),
    ({"exit_status": "success"}, [1, 2, 3, 4, 5]),
    ({"exit_status": "fail"}, []),
    ({"parameter": "line_steps"}, [1, 3, 4, 5]),
    ({"parameter": "line"}, []),  # a whole name
    ({"objective": "quality"}, [1, 2, 3, 4, 5]),
    ({"objective": "snr"}, []),
    ({"network": "fcn-lab"}, [4, 5]),
    ({"network": SHA[:10]}, [1, 2, 3, 4, 5]),
    ({"network": "quality"}, []),  # what it is used for is no name
    ({"network": "sha256"}, []),
    ({"since": "2026-01-01"}, [1, 2, 3, 4, 5]),
    ({"until": "2026-01-01"}, []),
    ({"where": ["images >= 4"]}, [4, 5]),
    ({"where": ["images = 3"]}, [3]),
    ({"where": ["images > 1", "images < 4"]}, [2, 3]),
    # Photobleaching is -0.0, 0.2, 0.4, ...: medians 0, 0.1, 0.2, 0.3, 0.4.
    ({"where": ["photobleaching <= 0.15"]}, [1, 2]),
    ({"where": ["photobleaching > 0.15"]}, [3, 4, 5]),
    ({"where": ["best.photobleaching > 0"]}, []),
    # Quality is 1/30, 2/30, invalid, 4/30, 5/30.
    ({"where": ["best.quality > .1"]}, [4, 5]),
    ({"where": ["quality < 0.04"]}, [1]),
    ({"where": ["snr > 0"]}, []),
    ({"where": ["photobleaching > 0.15"], "operator": "AD"}, [4]),
]


def asked(question):
    where = tuple(Condition.parse(text) for text in question.get("where", ()))
    return RunQuery(**{**question, "where": where})


@pytest.mark.parametrize(("question", "seeds"), QUERIES)
def test_a_question_to_the_journals_and_to_tiled(catalog, question, seeds):
    query = asked(question)
    listed = list_runs(catalog.folder, query)
    assert sorted(run.seed for run in listed) == seeds
    assert catalog.runs(query) == listed
    assert len(list(query.search(catalog.client))) == len(seeds)


def test_by_the_beginning_of_the_uid(catalog):
    uid = list_runs(catalog.folder)[2].uid
    for prefix, count in ((uid[:9], 1), (uid, 1), ("zz", 0), ("", 5)):
        query = RunQuery(uid_prefix=prefix)
        assert len(list_runs(catalog.folder, query)) == count
        assert catalog.runs(query) == list_runs(catalog.folder, query)


def test_databrokers_queries_find_what_was_reached(catalog):
    """As a notebook without this package asks."""
    from databroker.queries import Key

    found = catalog.client.search(Key("stop.summary.reached.photobleaching") >= 0.15)
    assert sorted(run.start["seed"] for _, run in found.items()) == [3, 4, 5]


@pytest.mark.parametrize("status", ["running", "interrupted", "damaged"])
def test_tiled_has_runs_that_have_ended_alone(catalog, status):
    query = RunQuery(exit_status=status)
    assert list_runs(catalog.folder, query) == []
    with pytest.raises(CatalogError, match=f"status = '{status}': Tiled knows"):
        query.search(catalog.client)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("snr >= 0.5", Condition("reached.snr", ">=", 0.5)),
        (" best.resolution_nm<7e1 ", Condition("best.resolution_nm", "<", 70.0)),
        ("orange_quality=1", Condition("reached.orange_quality", "=", 1.0)),
        ("depletion_power_mW <= 100", Condition("used.depletion_power_mW", "<=", 100.0)),
        ("orange_gate_delay_ns > -.5", Condition("used.orange_gate_delay_ns", ">", -0.5)),
        ("images>60", Condition("images", ">", 60.0)),
        ("used.line_steps > 1", Condition("used.line_steps", ">", 1.0)),
        ("reached.orange_snr > 1", Condition("reached.orange_snr", ">", 1.0)),
    ],
)
def test_conditions(text, expected):
    assert Condition.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("snr", "where = 'snr': a name, <, <=, >, >= or =, and a number"),
        ("snr > good", "where = 'snr > good'"),
        ("snr >> 3", "where"),
        ("3 < snr", "where"),
        ("snr > 3; DROP TABLE runs", "where"),
        ("snrr > 3", "where = 'snrr': did you mean 'snr'?"),
        ("depletion_power > 3", "did you mean 'depletion_power_mW'?"),
        ("worst.snr > 3", "where = 'worst.snr'"),
        ("best.snrr > 3", "where = 'best.snrr': did you mean 'snr'?"),
        ("best.dwelltime_us > 3", "where = 'best.dwelltime_us'"),
        ("used.snr > 3", "where = 'used.snr'"),
        ("used.anything > 3", "where = 'used.anything'"),
        ("orange_light_dose_mJ > 3", "where = 'orange_light_dose_mJ'"),
    ],
)
def test_what_is_no_condition(text, says):
    with pytest.raises(CatalogError) as caught:
        Condition.parse(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_query():
    with pytest.raises(CatalogError, match="status = 'done': success, abort, fail, running"):
        RunQuery(exit_status="done")
    with pytest.raises(CatalogError, match="'yesterday' is not a time"):
        RunQuery(since="yesterday")
    with pytest.raises(CatalogError, match="sign = '; --'"):
        Condition("images", "; --", 1.0)


def test_times():
    assert timestamp(12) == 12.0
    assert timestamp("1970-01-02T00:00:00Z") == DAY
    local = datetime(2026, 11, 20).timestamp()
    assert timestamp("2026-11-20") == timestamp(date(2026, 11, 20)) == local
    assert timestamp("2026-11-20 14:30") == local + 14.5 * 3600
    with pytest.raises(CatalogError, match="'yesterday' is not a time"):
        timestamp("yesterday")
