import json
import threading
from pathlib import Path

import numpy as np
import pytest

from stedopt_bluesky.parameters import ParameterSpace
from stedopt_bluesky.records import RunRecord
from stedopt_bluesky.records.subscription import subscribe
from stedopt_bluesky.session import config_of, objectives_of, weights_of
from tests.waiting import free_ports

# --- decisions --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "images"), [("finished", 3), ("aborted", 2), ("resumed", 2)])
def test_every_decision_is_made_again(stedopt_json, stored, journal, name, images):
    uid = getattr(stored, name)["uid"]
    replayed, result = stedopt_json("replay", uid, "--catalog", stored.catalog)

    assert result.exit_code == 0
    documents = RunRecord.read(journal(stored.catalog, uid)).documents
    assert replayed == {
        "uid": uid,
        "documents": len(documents),
        "decisions": images,
        "differing": 0,
        "differences": [],
    }


def test_replay_in_words(stedopt, stored):
    result = stedopt("replay", stored.finished["uid"], "--catalog", stored.catalog)
    assert result.exit_code == 0
    assert "documents re-emitted, all valid\n3 decisions made anew, 0 differ\n" in result.stdout


def change_decision(name, doc, stream):
    if name == "event" and stream == "decision" and doc["data"]["decision_iteration"] == 1:
        doc["data"]["decision_index"] += 1
        return True
    return False


def test_a_decision_that_was_changed_is_found(tamper, stedopt, stedopt_json, copied, journal):
    uid = copied.finished["uid"]
    recorded = RunRecord.read(journal(copied.catalog, uid)).events("decision")[1]["data"]
    tamper(journal(copied.catalog, uid), change_decision)

    replayed, result = stedopt_json("replay", uid, "--catalog", copied.catalog)

    assert result.exit_code == 1
    assert (replayed["decisions"], replayed["differing"]) == (3, 1)
    (difference,) = replayed["differences"]
    index = recorded["decision_index"]
    assert (difference["iteration"], difference["recorded_index"]) == (1, index + 1)
    assert (difference["index"], difference["same_cloud"]) == (index, True)
    words = stedopt("replay", uid, "--catalog", copied.catalog)
    assert words.exit_code == 1
    assert "3 decisions made anew, 1 differ" in words.stdout
    assert f"iteration 1: recorded option {index + 1} (weighted_rule), now option {index}" in (
        words.stdout
    )


def test_an_observation_that_was_changed_is_found(tamper, stedopt_json, copied, journal):
    """The image was rated otherwise: what was decided after it does not follow from it."""

    def change(name, doc, stream):
        if name == "event" and stream == "primary" and doc["data"]["image_iteration"] == 0:
            doc["data"]["objective_snr"] += 0.25
            return True
        return False

    tamper(journal(copied.catalog, copied.finished["uid"]), change)
    replayed, result = stedopt_json("replay", copied.finished["uid"], "--catalog", copied.catalog)

    assert result.exit_code == 1
    assert [d["iteration"] for d in replayed["differences"]] == [1, 2]


def test_a_document_that_is_not_valid_is_told_with_its_line(tamper, stedopt, copied, journal):
    uid = copied.finished["uid"]
    path = journal(copied.catalog, uid)
    tamper(path, lambda name, doc, _: name == "stop" and doc.pop("exit_status"))

    result = stedopt("replay", uid, "--catalog", copied.catalog)

    assert (result.exit_code, result.stdout) == (2, "")
    last = len(path.read_bytes().splitlines())
    assert f"is damaged: line {last}, stop: exit_status: field required" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


# --- what if ----------------------------------------------------------------------------


def test_the_runs_own_configuration_decides_as_it_did(stedopt_json, stored, toml):
    where = ("--catalog", stored.catalog, "--config", toml)
    report, result = stedopt_json("replay", stored.finished["uid"], *where)

    assert result.exit_code == 0, result.stderr
    assert (report["decisions"], report["agreeing"], report["share_agreeing"]) == (3, 3, 1)
    assert (report["mean_distance_steps"], report["mean_regret"]) == (0, 0)
    assert report["asked"] == report["recorded_with"]
    assert all(row["recorded_sample"] == row["new_sample"] for row in report["rows"])


@pytest.mark.parametrize("name", ["finished", "resumed"])
def test_what_another_strategy_would_have_chosen(stedopt_json, stored, journal, name):
    uid = getattr(stored, name)["uid"]
    report, result = stedopt_json(
        "replay", uid, "--strategy", "grid_search", "--catalog", stored.catalog
    )

    assert result.exit_code == 0, result.stderr
    record = RunRecord.read(journal(stored.catalog, uid))
    space = config_of(record).space
    # Grid search begins at the first configuration, whatever was imaged elsewhere.
    assert report["rows"][0]["index"] == 0
    assert report["asked"] == {"bandit.strategy": "grid_search", "choice.rule": "weighted"}
    for row, event in zip(report["rows"], record.events("decision"), strict=True):
        recorded = event["data"]["decision_index"]
        assert row["recorded_index"] == recorded
        assert row["recorded"] == dict(zip(space.names, space.grid[recorded], strict=True))
        assert row["new"] == dict(zip(space.names, space.grid[row["index"]], strict=True))
        here, there = (np.unravel_index(i, space.shape) for i in (recorded, row["index"]))
        assert list(row["steps"].values()) == [b - a for a, b in zip(here, there, strict=True)]
        assert row["distance_steps"] == sum(map(abs, row["steps"].values()))


def by_hand(config, sample):
    """The run's own utility: a weighted mean of scores from 0 to 1, nothing gained beyond 1."""
    total = 0.0
    for value, objective in zip(sample, objectives_of(config), strict=True):
        low, high = objective.range
        score = (value - low) / (high - low)
        score = score if objective.direction == "maximise" else 1 - score
        total += weights_of(config)[objective.name] * min(score, 1.0)
    return total / sum(weights_of(config).values())


def test_regret_is_what_the_run_itself_expected(stedopt_json, stored, journal, tmp_path):
    uid = stored.finished["uid"]
    other = tmp_path / "other.toml"
    other.write_text('preset = "classical"\n[bandit]\nexploration = 5.0\n')
    report, result = stedopt_json("replay", uid, "--config", other, "--catalog", stored.catalog)

    assert result.exit_code == 0, result.stderr
    assert report["agreeing"] < 3
    record = RunRecord.read(journal(stored.catalog, uid))
    config, names = config_of(record), record.objectives
    for row, cloud in zip(report["rows"], record.clouds, strict=True):
        then, now = cloud[row["recorded_index"]], cloud[row["index"]]
        assert row["recorded_sample"] == dict(zip(names, then, strict=True))
        assert row["regret"] == pytest.approx(by_hand(config, then) - by_hand(config, now))
        assert row["regret"] >= 0  # the weighted rule took the best
    assert report["mean_regret"] == pytest.approx(
        np.mean([row["regret"] for row in report["rows"]])
    )


def test_a_network_that_does_not_know_the_objectives_is_not_asked(stedopt, stored):
    where = ("--preference-network", "auto", "--catalog", stored.catalog)
    result = stedopt("replay", stored.finished["uid"], *where)
    assert_one_line(result, "no shipped network chooses by")


def test_a_run_that_prescribed_has_no_regret(stedopt, stedopt_json, small, tmp_path):
    """Its clouds hold but one option: what it thought of others is not known."""
    shown, _ = stedopt_json(*small, "--strategy", "grid_search")
    where = ("--catalog", tmp_path / "cat", "--strategy", "kernel_ts")
    report, result = stedopt_json("replay", shown["uid"], *where)
    assert result.exit_code == 0, result.stderr
    regrets = [row["regret"] for row in report["rows"] if row["distance_steps"] != 0]
    assert regrets
    assert set(regrets) == {None}
    assert "regret  -" in stedopt("replay", shown["uid"], *where).stdout


@pytest.fixture
def network(stored, journal, tmp_path):
    """A preference network with random weights that knows the run's objectives."""
    import torch

    from stedopt_bluesky.networks.preference import PreferenceNetwork
    from stedopt_bluesky.networks.tensors import tensors_of
    from stedopt_bluesky.networks.weights import ObjectiveScale, WeightsInfo, save_weights

    config = config_of(RunRecord.read(journal(stored.catalog, stored.finished["uid"])))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        tensors = tensors_of(PreferenceNetwork(len(config.objectives)))
    scales = tuple(ObjectiveScale(o.name, o.unit, 0.5, 2.0) for o in objectives_of(config))
    info = WeightsInfo(
        kind="preference", name="mine", version="1", objectives=scales, training={"test_top1": 0.5}
    )
    path = tmp_path / "mine.safetensors"
    save_weights(path, tensors, info)
    return path


def test_what_another_network_would_have_chosen(stedopt_json, stored, journal, network):
    from stedopt_bluesky.networks.preference import PreferenceScorer

    uid = stored.finished["uid"]
    where = ("--preference-network", network, "--catalog", stored.catalog)
    report, result = stedopt_json("replay", uid, *where)

    assert result.exit_code == 0, result.stderr
    record = RunRecord.read(journal(stored.catalog, uid))
    scorer = PreferenceScorer.named(str(network))
    # The strategy is the same, and so are its clouds: the network takes its best of each.
    best = [int(np.argmax(scorer.scores(cloud))) for cloud in record.clouds]
    assert [row["index"] for row in report["rows"]] == best
    assert best != [row["recorded_index"] for row in report["rows"]]
    assert {row["chosen_by"] for row in report["rows"]} != {"weighted_rule"}
    assert report["asked"]["choice.network"] == str(network)


def test_the_whole_plan_with_another_network(stedopt_json, stored, journal, network, tmp_path):
    into = tmp_path / "again"
    replayed, result = stedopt_json(
        "replay", stored.finished["uid"], "--microscope", "--preference-network", network,
        "--catalog", stored.catalog, "--into", into,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    again = RunRecord.read(journal(into, replayed["uid"]))
    assert again.start["networks"]["preference"]["name"] == "mine"
    assert replayed["replayed"]["images"] == 3
    assert replayed["replayed"]["nearest_only"] > 0


def test_what_if_in_words_and_as_a_picture(stedopt, stored, tmp_path):
    picture = tmp_path / "new" / "what_if.png"
    result = stedopt(
        "replay", stored.finished["uid"], "--strategy", "random", "--figure", picture,
        "--catalog", stored.catalog,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "(mW)" in result.stdout
    assert "→" in result.stdout
    assert "of 3 decisions" in result.stdout
    assert "steps on the grid" in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def assert_one_line(result, text):
    assert result.exit_code == 2, result.stdout
    assert text in result.stderr
    assert len(result.stderr.splitlines()) == 1


GRID = """
[[parameters]]
name = "excitation_power_uW"
values = [1.0, 2.0]
"""
OBJECTIVES = """
[[objectives]]
name = "snr"
"""


@pytest.mark.parametrize(
    ("text", "told"),
    [(GRID, "parameters = excitation_power_uW"), (OBJECTIVES, "objectives = snr: the run's")],
)
def test_another_question_is_refused(stedopt, stored, tmp_path, text, told):
    other = tmp_path / "other.toml"
    other.write_text('preset = "classical"\n' + text)
    where = ("--config", other, "--catalog", stored.catalog)
    assert_one_line(stedopt("replay", stored.finished["uid"], *where), told)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--strategy", "nsga2"], "learns only from images that it has prescribed"),
        (["--strategy", "thompson"], "bandit.strategy = 'thompson'"),
        (["--strategy", "kernel_ucb"], "exactly one modelled objective"),
        (["--preference-network", "gone.safetensors"], "choice.network"),
        (["--config", "gone.toml"], "expected a TOML file"),
        (["--figure", "x.png"], "only with another strategy"),
        (["--figure", "x.pdf", "--strategy", "random"], "PNG"),
        (["--speed", "2"], "only together with --emit"),
        (["--speed", "0", "--emit"], "speed = 0: above 0"),
        (["--emit", "--strategy", "random"], "not together with"),
        (["--to", "0.0.0.0:5577"], "127.0.0.1:PORT"),
        (["--proxy"], "only together with an address"),
    ],
)
def test_what_cannot_be_asked(stedopt, stored, options, told):
    result = stedopt("replay", stored.finished["uid"], *options, "--catalog", stored.catalog)
    assert_one_line(result, told)


def test_steps_on_the_grid_by_hand():
    from stedopt_bluesky.parameters import Parameter

    space = ParameterSpace([Parameter("a", "", (1, 2, 3)), Parameter("b", "nm", (1, 2, 3, 4))])
    assert space.steps(space.index([1, 4]), space.index([3, 1])) == {"a": 2, "b": -3}


# --- on the microscope that answers with recorded images --------------------------------


@pytest.mark.parametrize("name", ["finished", "aborted", "resumed"])
def test_the_whole_plan_is_run_again(stedopt_json, stored, journal, tmp_path, name):
    uid = getattr(stored, name)["uid"]
    into = tmp_path / "again"
    replayed, result = stedopt_json(
        "replay", uid, "--microscope", "--catalog", stored.catalog, "--into", into
    )

    assert result.exit_code == 0, result.stderr
    record = RunRecord.read(journal(stored.catalog, uid))
    again = RunRecord.read(journal(into, replayed["uid"]))
    images = len(record.observations)
    assert replayed["replayed"] == {
        "of": uid,
        "images": images,
        "same_images": images,
        "same_objectives": images,
        "decisions": images,
        "same_decisions": images,
        "nearest_only": 0,
        "mean_distance_steps": 0,
        "given_again": 0,
    }
    assert again.start["replays"] == uid
    assert again.start["plan_name"] == "optimize_sted"
    for key in ("microscope_confocal1", "microscope_sted1", "microscope_confocal2"):
        assert again.images(key).tobytes() == record.images(key).tobytes()
    assert replayed["commands"]["continue"] is None


def test_a_replay_is_told_apart(stedopt, stedopt_json, copied):
    where = ("--catalog", copied.catalog)
    result = stedopt(
        "replay", copied.finished["uid"], "--microscope", "--strategy", "random", *where
    )
    assert result.exit_code == 0, result.stderr
    assert f"replayed  run {copied.finished['uid'][:8]}: " in result.stdout
    assert "not possible: its images were recorded" in result.stdout
    (uid,) = {run["uid"] for run in stedopt_json("runs", *where)[0]} - {
        getattr(copied, name)["uid"] for name in ("finished", "aborted", "resumed")
    }
    # It is a run like others: its own decisions can be made anew.
    assert stedopt("replay", uid, *where).exit_code == 0
    assert_one_line(stedopt("resume", uid, *where), "there is no sample to go on with")
    from stedopt_bluesky.cli.training import Source

    learnt = Source((Path("x.safetensors"),), True, (), copied.catalog).records()
    assert uid not in {record.uid for record in learnt}
    assert copied.finished["uid"] in {record.uid for record in learnt}
    compared, result = stedopt_json("experiment", "compare", "--group-by", "uid", *where)
    assert uid[:8] not in json.dumps(compared)
    assert f"run {uid[:8]} has another run's images" in result.stderr


def test_a_replay_that_differs(stedopt, copied, journal, tamper):
    """The record tells another choice than the program makes."""
    tamper(journal(copied.catalog, copied.finished["uid"]), change_decision)
    where = ("--catalog", copied.catalog)
    result = stedopt("replay", copied.finished["uid"], "--microscope", *where)
    assert result.exit_code == 1
    assert "2 of 3 decisions, 3 of 3 regions' images" in result.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--from", "abc"], "only together with --microscope"),
        (["--into", "x"], "only together with --microscope"),
        (["--microscope", "--emit"], "not together with"),
        (["--microscope", "--from", "abc"], "abc"),
    ],
)
def test_what_cannot_be_replayed(stedopt, stored, options, told):
    result = stedopt("replay", stored.finished["uid"], *options, "--catalog", stored.catalog)
    assert_one_line(result, told)


def test_a_run_whose_images_are_gone(stedopt, copied, journal, tamper, tmp_path):
    tamper(
        journal(copied.catalog, copied.finished["uid"]),
        lambda name, doc, _: (
            name == "stream_resource" and doc.update(uri="file://localhost/gone/x.h5") is None
        ),
    )
    result = stedopt(
        "replay", copied.finished["uid"], "--microscope", "--catalog", copied.catalog, "--into",
        tmp_path / "new",
    )  # fmt: skip
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "new").exists()


# --- documents --------------------------------------------------------------------------


def test_documents_as_lines(stedopt, stored, journal):
    result = stedopt("replay", stored.finished["uid"], "--emit", "--catalog", stored.catalog)
    assert result.exit_code == 0
    lines = [json.dumps(json.loads(line)) for line in result.stdout.splitlines()]
    record = RunRecord.read(journal(stored.catalog, stored.finished["uid"]))
    assert lines == [json.dumps([name, doc]) for name, doc in record.documents]


def test_documents_to_a_subscriber(stedopt, stored, journal, free_port):
    came = []

    def listen():
        for received in subscribe(f"127.0.0.1:{free_port}"):
            came.append(received)
            if received.name == "stop":
                return

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    where = ("--to", f"127.0.0.1:{free_port}", "--catalog", stored.catalog)
    result = stedopt("replay", stored.finished["uid"], *where)
    thread.join(20)
    assert result.exit_code == 0, result.stderr
    record = RunRecord.read(journal(stored.catalog, stored.finished["uid"]))
    assert [json.dumps(r.doc) for r in came] == [json.dumps(doc) for _, doc in record.documents]
    assert f"{len(came)} documents published" in result.stdout


def test_nobody_subscribes(stedopt, stored, monkeypatch, free_port):
    from stedopt_bluesky.cli import replaying

    monkeypatch.setattr(replaying, "_SUBSCRIBER_PATIENCE_S", 0.1)
    where = ("--to", str(free_port), "--catalog", stored.catalog)
    result = stedopt("replay", stored.finished["uid"], *where)
    assert result.exit_code == 2
    assert "nobody has subscribed within 0.1 s" in result.stderr


@pytest.fixture
def free_port():
    return free_ports(1)[0]
