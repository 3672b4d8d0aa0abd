"""``stedopt experiment uncaging``, and an uncaging run from the command line."""

import pytest

SMALL_TOML = """
preset = "uncaging"
images = 2
seed = 4

[microscope]
field_um = 24.0

[overview]
size_um = 24.0

[uncaging]
cells = 1

[imaging]
region_size_um = 1.0

[calcium]
baseline_frames = 3
response_frames = 4
"""


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    """Files without a name go to the working folder."""
    monkeypatch.chdir(tmp_path)


def test_an_experiment_has_shares_of_all_responses_and_a_picture(stedopt_json, tmp_path):
    told, _ = stedopt_json(
        "experiment", "uncaging", "--images", 2, "--cells", 1, "--runs", 1, "--workers", 1
    )

    assert (told["images"], told["cells"], told["runs"]) == (2, 1, 1)
    assert told["first_and_last"] == 1
    for name in ("kernel_ts", "random"):
        result = told["strategies"][name]
        shares = [result["outcomes"][o]["all"]["mean"] for o in ("silent", "local", "widespread")]
        assert sum(shares) == pytest.approx(1)
        assert len(result["runs"][0]["uncaging_power_uW"]) == 2
    assert (tmp_path / "stedopt-uncaging.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--images", 1), "images = 1: at least 2"),
        (("--runs", 0), "runs = 0: at least 1"),
        (("--seed", -1), "seed = -1: at least 0"),
        (("--cells", 11), "uncaging.cells = 11: at most 10"),
        (("--strategy", "nsga2"), "strategy = 'nsga2': allowed are kernel_ts, random"),
        (("--figure", "a.txt"), "a.txt"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(stedopt, arguments, message):
    result = stedopt("experiment", "uncaging", *arguments)

    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_too_few_spines_are_told_in_one_line(stedopt):
    result = stedopt("experiment", "uncaging", "--images", 1000, "--runs", 1, "--workers", 1)

    assert result.exit_code == 1
    assert "spines are found whose axis is free" in " ".join(result.stderr.split())


def test_a_run_is_resumed_and_replayed_as_any_other(stedopt, stedopt_json, tmp_path):
    (tmp_path / "mine.toml").write_text(SMALL_TOML)
    first, _ = stedopt_json("run", "mine.toml", "--catalog", "catalog")
    more, _ = stedopt_json("resume", first["uid"][:8], "--images", 1, "--catalog", "catalog")
    replayed = stedopt("replay", more["uid"][:8], "--catalog", "catalog")

    assert first["exit_status"] == "success"
    assert len(first["images"]) == 2
    assert len(more["images"]) == 1
    assert more["resumes"] == first["uid"]
    assert replayed.exit_code == 0
    assert "1 decisions made anew, 0 differ" in " ".join(replayed.output.split())
