import io

import pytest
from rich.console import Console

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.config import PARAMETER_UNITS
from stedopt_bluesky.objectives import OBJECTIVES
from stedopt_bluesky.records import RunSummary
from stedopt_bluesky.reports.summary import ImageRow
from stedopt_bluesky.reports.tables import images_tables, runs_table

NAN = float("nan")


def printed(*tables, width=80):
    """Lines of tables on a terminal of 80 columns."""
    console = Console(file=io.StringIO(), width=width)
    for table in tables:
        console.print(table)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return lines


def test_the_best_and_the_last_images(make_report):
    lines = printed(*images_tables(make_report([0.1, 0.9, 0.3, 0.8, 0.5, 0.2, 0.7])))
    assert lines[0].startswith("The best 3 of 7 images")
    last = next(i for i, line in enumerate(lines) if line.startswith("The last 5 images"))
    assert [line.split()[0] for line in lines[last - 3 : last]] == ["2", "4", "7"]
    assert [line.split()[0] for line in lines[-5:]] == ["3", "4", "5", "6", "7"]


def test_values_have_three_digits_and_what_is_invalid_says_so(make_report):
    row = printed(images_tables(make_report([NAN]))[1])[-1].split()
    assert row == ["1", "26.8", "360", "invalid", "81.2", "0.05", "invalid"]


def test_arrows_say_what_is_better(make_report):
    text = "\n".join(printed(images_tables(make_report([0.5]))[0]))
    assert text.count("↑") == 2  # snr and utility
    assert text.count("↓") == 2


def test_four_parameters_and_six_objectives_at_once_fit(make_report):
    """Beside one another the wide ones, more than anybody weighs."""
    units = dict(list(PARAMETER_UNITS.items())[:4])
    names = ("photobleaching", "resolution_nm", "autocorrelation", "fwhm_nm", "quality")
    objectives = tuple(OBJECTIVES[name].objective for name in (*names, "light_dose_mJ"))
    row = ImageRow(
        number=100,
        iteration=99,
        parameters=dict.fromkeys(units, 123.456),
        objectives={o.name: NAN for o in objectives},
        utility=-10.123,
    )
    report = make_report([], rows=(row,), objectives=objectives, parameter_units=units)
    lines = printed(images_tables(report)[1])
    # Values may be folded; their letters are all there.
    letters = "".join("".join(lines).split())
    assert letters.count("123") == len(units)
    assert "-10.1" in letters
    assert letters.count("inv") == len(objectives)
    assert "…" not in letters


def test_the_demonstrations_table_folds_no_word(make_report):
    """Its seven columns of numbers, each as wide as three digits can be."""
    objectives = tuple(
        OBJECTIVES[name].objective
        for name in ("snr", "resolution_nm", "photobleaching", "imaging_time_s")
    )
    parameters = ("excitation_power_uW", "depletion_power_mW", "dwelltime_us")
    row = ImageRow(
        number=60,
        iteration=59,
        parameters=dict.fromkeys(parameters, 0.0123),
        objectives=dict.fromkeys((o.name for o in objectives), -0.0123),
        utility=-0.123,
    )
    report = make_report(
        [],
        rows=(row,),
        objectives=objectives,
        parameter_units={name: PARAMETER_UNITS[name] for name in parameters},
    )
    words = " ".join(printed(images_tables(report)[0])).split()
    for word in ("excitation", "depletion", "dwelltime", "bleaching", "imaging", "utility"):
        assert word in words
    assert words.count("-0.0123") == 4


def test_why_an_image_is_invalid_stands_below(make_report):
    why = "discarded by AD: \x1b[31mdrift"
    nothing = {"snr": NAN, "frc": NAN}
    row = ImageRow(7, 6, {"line_steps": 3.0}, nothing, NAN, f"snr: {why}; frc: {why}")
    report = make_report(
        [],
        rows=(row,),
        objectives=tuple(Objective(n, "", "maximise", (0, 1)) for n in ("snr", "frc")),
        parameter_units={"line_steps": "lines"},
    )
    best, last = (printed(table) for table in images_tables(report))
    assert last[-1].strip() == "image 7: discarded by AD: [31mdrift"
    assert "discarded" not in " ".join(best)
    assert report.as_json()["images"][0]["invalid_because"] == row.invalid_because


def test_one_objective_and_one_parameter(make_report):
    report = make_report(
        [],
        rows=(ImageRow(1, 0, {"line_steps": 3.0}, {"snr": 1.0}, 1.0),),
        objectives=(Objective("snr", "", "maximise", (0, 1)),),
        parameter_units={"line_steps": "lines"},
    )
    assert printed(images_tables(report)[1])[-1].split() == ["1", "3", "1", "1.000"]


def summary(**changes):
    fields = {
        "uid": "57dc1234-aaaa",
        "time": 1.7e9,
        "sample": "actin",
        "preset": "fixed_far_red",
        "images": 60,
        "exit_status": "success",
        "reason": "",
    }
    return RunSummary(**{**fields, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reason": "images = 5000: only 121 regions of 1.28 µm hold at least 10 % foreground"},
        {"exit_status": "interrupted", "reason": "the program ended before the run was closed"},
        {"sample": None, "preset": None, "exit_status": "damaged"},
        {"images": 100_000, "sample": "mouse 17, third slice"},
    ],
)
def test_a_run_fits_into_80_columns(changes):
    lines = printed(runs_table([summary(**changes), summary()]))
    text = "\n".join(lines)
    assert "57dc1234" in text
    assert str(summary(**changes).images) in text
    assert summary(**changes).exit_status in text
    assert len(lines) <= 7  # one line a run; the reason is cut off, `show` tells it whole


def test_words_in_brackets_are_shown_as_they_are():
    run = summary(sample="[bold]x[/]", reason="[Errno 28] No space")
    text = " ".join(printed(runs_table([run]), width=120))
    assert "[bold]x[/]" in text
    assert "[Errno 28] No space" in text
