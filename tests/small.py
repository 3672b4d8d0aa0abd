"""An experiment and a catalogue in small, for tests that start programs."""

import json

from event_model import compose_run

from stedopt_bluesky.records import CatalogFolder
from stedopt_bluesky.records.journal import Journal

# A field of 30 µm has 121 regions of actin; an image of 64 × 64 pixels takes 20 ms.
_SECTIONS = """
[microscope]
field_um = 30.0

[overview]
size_um = 30.0

[imaging]
region_size_um = 1.28
"""


def small_toml(more="", *, sections=_SECTIONS, **fields):
    """Configuration with fields of its top level, and further sections, of sizes at last."""
    own = "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
    return f'preset = "classical"\n{own}{more}{sections}'


def empty_catalogue(path):
    """A catalogue's folder with one run, `empty`, of no images."""
    folder = CatalogFolder.create_or_open(path)
    journal, run = Journal(folder), compose_run(uid="empty")
    journal("start", run.start_doc)
    journal("stop", run.compose_stop())
    return folder
