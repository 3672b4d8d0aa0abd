"""No module touches the network or needs hardware when it is imported."""

import pkgutil
import subprocess
import sys

import stedopt_bluesky

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(stedopt_bluesky.__path__, "stedopt_bluesky.")
    if not module.name.endswith("__main__")
)

# What needs torch imports it where it begins: these are imported by others when they are used.
TORCH = ("stedopt_bluesky.networks.", "stedopt_bluesky.experiments.shipped_")
WITHOUT_TORCH = [name for name in MODULES if not name.startswith(TORCH)]

# Run in a process of its own: modules that other tests have imported would prove nothing.
PROGRAM = """
import importlib, socket, sys

def refuse(*args, **kwargs):
    raise AssertionError("the network was used at import")

socket.socket.connect = socket.create_connection = socket.socket.bind = refuse
for name in sys.argv[1:]:
    importlib.import_module(name)
assert "specpy" not in sys.modules, "specpy was imported"
"""
NO_TORCH = PROGRAM + 'assert "torch" not in sys.modules, "torch was imported"'


# What makes `stedopt --help` slow: seconds each.
HEAVY = ("bluesky", "ophyd", "tiled", "databroker", "matplotlib.pyplot", "torch", "specpy")


def test_all_modules_are_there_to_be_checked():
    assert len(MODULES) > 60


def test_no_import_touches_network_or_hardware():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *MODULES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_nothing_but_the_networks_imports_torch():
    done = subprocess.run(
        [sys.executable, "-c", NO_TORCH, *WITHOUT_TORCH],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_command_line_starts_without_the_heavy_libraries():
    program = "import sys, stedopt_bluesky.cli\nprint(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not set(HEAVY) & set(loaded)
