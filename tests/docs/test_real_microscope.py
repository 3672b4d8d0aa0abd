"""The table of measured powers in the guide to a real microscope is one that is taken."""

import re
from pathlib import Path

from stedopt_bluesky.config import load_config

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "real_microscope.md"


def test_the_table_and_the_sections_that_name_it(tmp_path):
    text = GUIDE.read_text("utf-8")
    (table,) = re.findall(r"^```text\n(# power meter.*?)^```$", text, re.S | re.M)
    (sections,) = re.findall(r"^```\{code-block\} toml\n(.*?)^```$", text, re.S | re.M)
    (tmp_path / "powers.csv").write_text(table, "utf-8")
    (tmp_path / "mine.toml").write_text(f'preset = "live_far_red"\n{sections}', "utf-8")
    config = load_config(tmp_path / "mine.toml")
    assert config.excitation.calibration_power_uW == (0.0, 7.9, 21.0, 44.0)
    assert config.depletion.calibration_percent == (0.0, 30.0, 60.0, 100.0)
    assert config.depletion.calibration_power_mW == (0.0, 104.0, 216.0, 352.0)
