import matplotlib.image
import pytest

POWERS = """laser,percent,power,unit
excitation,0,0,uW
excitation,50,20,uW
excitation,100,50,uW
775,0,0,mW
775,100,300,mW
775,100,310,mW
"""


@pytest.fixture
def powers(tmp_path, monkeypatch):
    """A file of measured points, in another folder than the working one."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = tmp_path / "powers of [today].csv"
    path.write_text(POWERS)
    return path


def test_in_words(stedopt, powers, tmp_path):
    result = stedopt("calibrate", "check", powers)
    assert result.exit_code == 0, result.stderr
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "excitation 3 0 to 100 % 0 to 50 µW -10.0 % 0.06 µW" in lines
    assert "775 2 0 to 100 % 0 to 305 mW +0.0 % 0.305 mW" in lines
    assert lines[-1] == "picture: powers of [today].png"
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    picture = matplotlib.image.imread(tmp_path / "here" / "powers of [today].png")
    assert picture.shape == (495, 1430, 4)


def test_as_json(stedopt_json, powers, tmp_path):
    found, result = stedopt_json("calibrate", "check", powers, "--out", "deep/picture.png")
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    figure = tmp_path / "here" / "deep" / "picture.png"
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert found == {
        "path": str(powers),
        "figure": str(figure),
        "lasers": [
            {
                "laser": "excitation",
                "unit": "µW",
                "percent": [0.0, 50.0, 100.0],
                "power": [0.0, 20.0, 50.0],
                "nonlinearity_percent": pytest.approx(-10.0),
                "resolution": pytest.approx(0.06),
            },
            {
                "laser": "775",
                "unit": "mW",
                "percent": [0.0, 100.0],
                "power": [0.0, 305.0],
                "nonlinearity_percent": 0.0,
                "resolution": pytest.approx(0.305),
            },
        ],
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.csv",), "error: none.csv: no such file: expected a CSV file"),
        (("wrong.csv",), "error: wrong.csv: line 2, power = 'x': a number from 0 to"),
        (("powers.csv", "--out", "powers.csv"), "error: out = 'powers.csv': another file than"),
        (("powers.csv", "--out", "."), "error: out = '.': a PNG file to be written (Is a dir"),
        (("powers.csv", "--out", "wrong.csv/a.png"), "out = 'wrong.csv/a.png': a PNG file to"),
        ((), "error: missing argument"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(stedopt, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "powers.csv").write_text(POWERS)
    (tmp_path / "wrong.csv").write_text("laser,percent,power,unit\n640,0,x,mW\n")
    result = stedopt("calibrate", "check", *arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert message in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["powers.csv", "wrong.csv"]
    assert (tmp_path / "powers.csv").read_text() == POWERS


def test_the_help_teaches(stedopt):
    text = stedopt("calibrate", "check", "--help").stdout
    for word in ("laser,percent,power,unit", "nonlinearity", "resolution", "calibration_file"):
        assert word in text
    assert "stedopt calibrate check powers.csv" in text


def test_a_run_takes_the_powers_from_the_file(stedopt_json, toml, tmp_path, monkeypatch):
    """And its start document holds the points: who goes on with it needs no file."""
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.journal import find_run
    from stedopt_bluesky.records.run_record import RunRecord

    (tmp_path / "powers.csv").write_text(
        "laser;percent;power;unit\nexcitation;0;0;uW\nexcitation;50;20;uW\nexcitation;100;50,5;uW\n"
    )
    config = tmp_path / "mine.toml"
    config.write_text(f"{toml.read_text()}\n[excitation]\ncalibration_file = 'powers.csv'\n")
    catalog = tmp_path / "catalogue"
    done, result = stedopt_json("run", config, "--images", 2, "--catalog", catalog)
    assert result.exit_code == 0, result.stderr
    (tmp_path / "powers.csv").unlink()

    record = RunRecord.read(find_run(CatalogFolder.open(catalog), done["uid"]))
    excitation = record.start["stedopt"]["config"]["excitation"]
    assert list(excitation["calibration_percent"]) == [0.0, 50.0, 100.0]
    assert list(excitation["calibration_power_uW"]) == [0.0, 20.0, 50.5]
    assert excitation["calibration_file"] == ""
    _, result = stedopt_json("resume", done["uid"], "--images", 1, "--catalog", catalog)
    assert result.exit_code == 0, result.stderr
