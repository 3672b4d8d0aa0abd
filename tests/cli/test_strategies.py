"""Every strategy through the plan: run, resume and replay from the command line."""

import pytest

from stedopt_bluesky.records import RunRecord
from stedopt_bluesky.records.replay import rerun_decisions
from stedopt_bluesky.session import config_of, make_choose, make_strategy

# Two individuals of one image each: a run of a few images has several generations.
STRATEGY_TOML = """
[bandit]
repeats = 1
population = 2
"""
ONE_OBJECTIVE_TOML = """
[[objectives]]
name = "snr"

[[objectives]]
name = "imaging_time_s"
weight = 0.1
"""
NAMES = ["kernel_ts", "kernel_ucb", "nsga2", "grid_search", "random"]


@pytest.fixture
def begin(toml, tmp_path, stedopt_json):
    """Function that runs a strategy into a catalogue of its own."""

    def run(name, images):
        path = tmp_path / "strategy.toml"
        one = ONE_OBJECTIVE_TOML if name == "kernel_ucb" else ""
        path.write_text(toml.read_text() + STRATEGY_TOML + one)
        done, result = stedopt_json(
            "run", path, "--strategy", name, "--images", images, "--catalog", tmp_path / "cat"
        )
        assert result.exit_code == 0, result.stderr
        return done

    return run


@pytest.mark.parametrize("name", NAMES)
def test_a_run_of_any_strategy_is_resumed_and_replayed(
    name, begin, tmp_path, stedopt_json, journal
):
    where = ("--catalog", tmp_path / "cat")
    first = begin(name, 3)
    second, result = stedopt_json("resume", first["uid"], "--images", 3, *where)
    assert result.exit_code == 0, result.stderr

    for done in (first, second):
        replayed, result = stedopt_json("replay", done["uid"], *where)
        assert result.exit_code == 0, result.stderr
        assert (replayed["decisions"], replayed["differing"]) == (3, 0)

    # The joined run is one that a strategy which never stopped would have made.
    records = [RunRecord.read(journal(tmp_path / "cat", run["uid"])) for run in (first, second)]
    config = config_of(records[0])
    assert config.bandit.strategy == name
    strategy, choose = make_strategy(config), make_choose(config)
    for record in records:
        decisions = rerun_decisions(record, lambda _: strategy, choose, compare_clouds=True)
        assert [decision.same for decision in decisions] == [True] * 3
    assert strategy.iteration == 6


@pytest.mark.slow
def test_a_run_of_botorch_is_replayed(begin, tmp_path, stedopt_json):
    """A few images only: each of its decisions takes a fraction of a second."""
    pytest.importorskip("botorch")
    done = begin("botorch", 3)
    replayed, result = stedopt_json("replay", done["uid"], "--catalog", tmp_path / "cat")
    assert result.exit_code == 0, result.stderr
    assert (replayed["decisions"], replayed["differing"]) == (3, 0)


@pytest.mark.usefixtures("pictures")
def test_grid_search_images_the_grid_in_its_order(begin, tmp_path, journal):
    done = begin("grid_search", 4)
    assert done["figure"] is not None
    record = RunRecord.read(journal(tmp_path / "cat", done["uid"]))
    assert [index for index, _ in record.observations] == [0, 1, 2, 3]


def test_a_strategy_that_does_not_go_with_the_objectives_is_told_in_one_line(
    toml, tmp_path, stedopt
):
    result = stedopt("run", toml, "--strategy", "kernel_ucb", "--catalog", tmp_path / "cat")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: bandit.strategy = 'kernel_ucb': allowed with exactly")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "cat").exists()


def test_the_help_names_every_strategy(stedopt):
    from typing import get_args

    from stedopt_bluesky.config.sections import StrategyName

    words = stedopt("run", "--help").stdout.replace(",", " ").replace(".", " ").split()
    assert set(get_args(StrategyName)) <= set(words)
