"""The page about the command line: all variables of the environment stand in it, and no other."""

import re

from tests.facility.units import ROOT

PAGE = (ROOT / "docs" / "reference" / "command_line.md").read_text("utf-8")
# What is read in code and scripts; pages of the documentation are no evidence.
FOLDERS = ("stedopt_bluesky", "profiles")


def test_the_table_has_all_variables_and_no_other():
    texts = [
        path.read_text("utf-8")
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".safetensors"
    ]
    used = set(re.findall(r"STEDOPT_[A-Z_]*[A-Z]", "\n".join(texts)))
    # Each of these may come by a file (`secret_from`).
    secrets = set(re.findall(r'^\w*VARIABLE = "(STEDOPT_\w+)"$', "\n".join(texts), re.M))
    assert len(secrets) == 4
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", PAGE, re.M)
    told = [name for row in rows for name in re.findall(r"STEDOPT_\w+", row)]
    assert sorted(told) == sorted(used | {f"{name}_FILE" for name in secrets})
