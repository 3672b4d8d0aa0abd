"""Regions by hand, from a CSV file."""

import re

import pytest

from stedopt_bluesky.config import ConfigError, load_config
from stedopt_bluesky.config.regions_file import read_regions


@pytest.fixture
def written(tmp_path):
    def write(text, name="regions.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_text(text, encoding)
        return path

    return write


def test_regions(written):
    path = written("x_um,y_um\n1.5,-2\n\n0,0\n", encoding="utf-8-sig")
    assert read_regions(path) == {"regions": [{"x_um": 1.5, "y_um": -2.0}, {"x_um": 0, "y_um": 0}]}


def test_rectangles_at_places_of_the_stage(written):
    text = "y_um, x_um, width_um, height_um, stage_x_um, stage_y_um\n1,2,3,4,5,6\n"
    (row,) = read_regions(written(text))["rectangles"]
    assert row == {
        "x_um": 2, "y_um": 1, "width_um": 3, "height_um": 4, "stage_x_um": 5, "stage_y_um": 6,
    }  # fmt: skip


def test_comments(written):
    text = "# what looks round\nx_um,y_um\n1,2\n  # dim, perhaps\n3,4\n"
    assert read_regions(written(text))["regions"] == [
        {"x_um": 1, "y_um": 2},
        {"x_um": 3, "y_um": 4},
    ]


WRONG = [
    ("", "line 1, column 'x_um' is missing: x_um, y_um go together"),
    ("x_um,y_um,width_um\n1,2,3\n", "column 'height_um' is missing: width_um, height_um go"),
    ("x_um,y_um,z_um\n1,2,3\n", "column 'z_um': allowed are x_um, y_um, stage_x_um, stage_y_um"),
    ("x_um,y_um\n", "0 rows; 1 to 100,000 are allowed"),
    ("# mine\nx_um,y_um\n1,left\n", "line 3, y_um = 'left': a finite number"),
]


@pytest.mark.parametrize(("text", "says"), WRONG)
def test_what_is_wrong_is_told_with_its_line(written, text, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        read_regions(written(text))


def test_a_configuration_reads_the_file_next_to_it(written):
    written("x_um,y_um\n1,2\n3,4\n")
    config = load_config(written('preset = "demo"\nregions_file = "regions.csv"\n', "mine.toml"))
    assert [(r.x_um, r.y_um) for r in config.regions] == [(1, 2), (3, 4)]
    # It is in the configuration now, which needs the file no more.
    assert config.regions_file == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('regions_file = "none.csv"', "mine.toml: regions_file = 'none.csv': no such file"),
        (
            'regions_file = "regions.csv"\n[[regions]]\nx_um = 1\ny_um = 1',
            "not together with regio",
        ),
    ],
)
def test_a_file_that_cannot_be_used(written, text, says):
    written("x_um,y_um\n1,2\n")
    with pytest.raises(ConfigError, match=says) as refused:
        load_config(written(f'preset = "demo"\n{text}\n', "mine.toml"))
    assert "\n" not in str(refused.value)
