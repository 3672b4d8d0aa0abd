"""`stedopt run` at a microscope that refuses the connection, or loses it and comes back."""

import json
import re
import socket

import pytest

from stedopt_bluesky.config import load_config
from stedopt_bluesky.session.twin import about_twin, start_twin
from stedopt_bluesky.twin.faults import LosingServer
from tests.benchmarks.kills import IMAGES, KEY, TOML, all_zero, stedopt

WAIT_S = 110  # a bound against hanging
# The second scan of the second image; each image has three, and an overview comes first.
SCAN = 5


@pytest.fixture
def write(tmp_path):
    """Write a configuration on a served twin."""

    def write(address, more=""):
        toml = tmp_path / "run.toml"
        text = TOML.format(host=address, images=IMAGES)
        toml.write_text(text.replace("[microscope]", f"[microscope]\n{more}"))
        return toml

    return write


def ended(process):
    out, err = process.communicate(timeout=WAIT_S)
    return process.returncode, out, err.splitlines()


def test_where_nothing_answers_in_time_nothing_is_begun(write, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    toml = write(address, "connect_patience_s = 1.5")
    code, out, lines = ended(stedopt("run", toml, "--catalog", tmp_path / "cat"))
    assert (code, out) == (2, "")
    nobody = f"no twin answers at {address} (Connection refused): start one with"
    said, error = lines
    assert said.startswith(f"warning: {nobody}")
    assert said.endswith("; trying again for 1.5 s")
    assert error.startswith(f"error: {nobody}")
    assert error.endswith("(tried for 1.5 s)")
    assert not (tmp_path / "cat").exists()


@pytest.mark.slow
def test_a_run_whose_connection_is_lost_is_gone_on_with_by_the_printed_command(write, tmp_path):
    toml = write("127.0.0.1:1")
    config = load_config(toml).updated({"microscope.host": "", "microscope.real_time": True})
    twin = start_twin(config)
    with LosingServer(twin, KEY, SCAN, 0.01, 1.0, about_twin(config)) as server:
        toml = write(server.address)
        code, out, lines = ended(stedopt("run", toml, "--catalog", tmp_path / "cat"))
        told = json.loads(out)
        assert code == 1
        assert told["exit_status"] == "fail"
        # By the deadline; or at once, by the interlock, which cannot be read.
        assert re.search("did not report its end within|lasers may be on", told["reason"])
        assert len(told["images"]) == 1
        assert any("the run ended early" in line for line in lines)
        assert "Traceback" not in "".join(lines)
        assert not any(twin.emitting.values())
        assert all_zero(twin)

        _, command = told["commands"]["continue"].split(" resume ")
        code, out, lines = ended(stedopt("resume", *command.split()))
        assert code == 0, lines
        assert len(json.loads(out)["images"]) == IMAGES - 1
