"""``stedopt run`` with what earlier runs measured, and with the grid that they left."""

import json
import re

import numpy as np
import pytest

from stedopt_bluesky.records import RunRecord
from stedopt_bluesky.session import config_of, prior_of
from stedopt_bluesky.session.reduced import reduced
from stedopt_bluesky.session.stored import reduced_from

TABLE = "excitation_power_uW,depletion_power_mW,dwelltime_us,snr,resolution_nm,photobleaching\n"


@pytest.fixture
def small(toml, copied):
    """Arguments of a small run into a catalogue that holds earlier ones."""
    return ("run", toml, "--catalog", copied.catalog)


@pytest.fixture
def record(copied, journal):
    """Function that reads a run of the catalogue."""
    return lambda uid: RunRecord.read(journal(copied.catalog, uid))


def test_runs_and_a_table_named_by_options(
    stedopt_json, small, copied, journal, record, tmp_path, monkeypatch
):
    """The table is found from here; replay and resume do without it and without the runs."""
    (tmp_path / "prior.csv").write_text(TABLE + "5,100,10,0.4,90,0.1\n7,100,10,,,\n")
    monkeypatch.chdir(tmp_path)
    earlier = [copied.finished["uid"], copied.aborted["uid"]]
    options = ("--prior", earlier[0][:8], "--prior", earlier[1], "--prior-csv", "prior.csv")
    run, result = stedopt_json(*small, *options, "--prior-weight", 0.5, "--images", 1)

    assert result.exit_code == 0, result.stderr
    assert "prior knowledge: 6 observations, each counted as 0.5" in result.stderr
    assert "1 of 2 rows have no valid objective and are left out" in result.stderr
    prior = config_of(record(run["uid"])).prior
    assert prior.runs == (earlier[0][:8], earlier[1])
    assert (prior.csv, prior.weight) == (str(tmp_path / "prior.csv"), 0.5)
    begun_with = prior_of(record(run["uid"]))
    assert [o.weight for o in begun_with] == [0.5] * 6

    (tmp_path / "prior.csv").unlink()
    for uid in earlier:
        journal(copied.catalog, uid).unlink()
    replayed, result = stedopt_json("replay", run["uid"], "--catalog", copied.catalog)
    assert result.exit_code == 0
    assert (replayed["decisions"], replayed["differing"]) == (1, 0)
    where = ("--images", 2, "--catalog", copied.catalog)
    resumed, result = stedopt_json("resume", run["uid"], *where)
    assert result.exit_code == 0, result.stderr
    again = prior_of(record(resumed["uid"]))
    assert [vars(o) for o in again] == [vars(o) for o in begun_with]
    replayed, result = stedopt_json("replay", resumed["uid"], "--catalog", copied.catalog)
    assert (replayed["decisions"], replayed["differing"]) == (2, 0)


def test_prior_knowledge_that_was_changed_is_found_by_a_replay(
    stedopt_json, small, copied, journal, record
):
    """What the start document holds is what the decisions came from."""
    run, _ = stedopt_json(*small, "--prior", copied.finished["uid"], "--images", 1)
    path = journal(copied.catalog, run["uid"])
    lines = path.read_text().splitlines()
    name, start = json.loads(lines[0])
    start["stedopt"]["prior_observations"][0]["values"]["snr"] += 0.5
    path.write_text("\n".join([json.dumps([name, start]), *lines[1:]]) + "\n")

    replayed, result = stedopt_json("replay", run["uid"], "--catalog", copied.catalog)

    assert result.exit_code == 1
    assert replayed["differing"] == 1


def test_the_grid_reduced_to_what_a_run_chose(stedopt_json, small, copied, record):
    uid = copied.finished["uid"]
    run, result = stedopt_json(*small, "--reduce-to", uid[:8], "--reduce-share", 0.6, "--images", 1)

    assert result.exit_code == 0, result.stderr
    new, old = config_of(record(run["uid"])), config_of(record(uid))
    assert new.parameters == reduced(old, record(uid), share=0.6).parameters
    assert new.space.size == old.space.size
    assert reduced_from(record(run["uid"])) == uid
    (line,) = [x for x in result.stderr.splitlines() if "chose most" in x]
    for before, after in zip(old.space, new.space, strict=True):
        span = r"{:g}-{:g} to {:g}-{:g} {}".format(
            *(before.values[0], before.values[-1], after.values[0], after.values[-1], after.unit)
        )
        assert f"{before.name} {span}" in line

    resumed, _ = stedopt_json("resume", run["uid"], "--images", 1, "--catalog", copied.catalog)
    assert reduced_from(record(resumed["uid"])) == uid
    assert config_of(record(resumed["uid"])).parameters == new.parameters
    chosen = [record(resumed["uid"]).observations[0][0]]
    assert np.all(new.space.grid[chosen] <= [p.values[-1] for p in new.space])


def refused(tmp_path):
    (tmp_path / "bad.csv").write_text(TABLE.replace("snr,", "") + "5,100,10,90,0.1\n")
    csv = str(tmp_path / "bad.csv")
    return [
        (("--prior", "ffff"), "prior.runs.0 = 'ffff': no run in "),
        (("--prior", ""), "prior.runs.0 = '': give the first characters"),
        (("--prior-csv", csv), f"prior.csv = '{csv}': no column snr; it has "),
        (("--prior-csv", tmp_path), "a folder: expected a CSV file"),
        (("--prior-csv", "nowhere.csv"), "no such file: expected a CSV file"),
        (("--prior-weight", 0.5), "prior.weight: only together with earlier runs or a CSV file"),
        (("--prior", "x", "--prior-weight", 0), "prior.weight = 0: above 0"),
        (("--prior", "x", "--prior-weight", 2), "prior.weight = 2: at most 1"),
        (("--reduce-to", "ffff"), "begins with 'ffff'"),
        (("--reduce-share", 0.5), "reduce-share: only together with a run, --reduce-to UID"),
    ]


def test_what_cannot_be_begun_with_is_told_before_anything_is_made(
    stedopt, small, copied, tmp_path
):
    before = sorted(copied.catalog.rglob("*"))
    for options, words in refused(tmp_path):
        result = stedopt(*small, *options)
        assert result.exit_code == 2, options
        message = " ".join(result.stderr.split())
        assert words in message, message
        assert len(result.stderr.splitlines()) == 1
    uid = copied.finished["uid"]
    result = stedopt(*small, "--reduce-to", uid, "--reduce-share", 0)
    assert result.exit_code == 2
    assert "share = 0: above 0, at most 1" in result.stderr
    assert sorted(copied.catalog.rglob("*")) == before


def test_no_catalogue_no_earlier_run(stedopt, toml, tmp_path):
    for option in ("--prior", "--reduce-to"):
        result = stedopt("run", toml, "--catalog", tmp_path / "new", option, "57dc")
        assert result.exit_code == 2
        assert re.search("there is no catalogue at .*new", result.stderr)
    assert list(tmp_path.iterdir()) == []


def test_a_strategy_that_learns_nothing_is_refused(stedopt, small, copied):
    before = sorted(copied.catalog.glob("journal/*/*"))
    result = stedopt(*small, "--prior", copied.finished["uid"], "--strategy", "random")
    assert result.exit_code == 2
    assert "bandit.strategy = 'random': with prior knowledge kernel_ts" in result.stderr
    assert sorted(copied.catalog.glob("journal/*/*")) == before
