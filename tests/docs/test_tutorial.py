"""The tutorial "Your first run" is run as it stands, command by command.

Its ``console`` blocks go to a shell, its ``python`` blocks to an interpreter, in order and in one
folder. What a block shows as output must come, in order; ``...`` stands for anything.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stedopt_bluesky.records import CatalogFolder, RunRecord, journal_paths

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorials" / "first_run.md"
INTERRUPT = "^C"


def blocks(text):
    """Language and content of the fenced blocks that are run, or that show an output."""
    found = re.findall(r"^```(console|python|text)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [(language, content) for language, content in found]


def matches(shown, output):
    """Whether what stands between the ``...`` comes in this order, whatever the white space."""
    rest = " ".join(output.split())
    for piece in shown.split("..."):
        wanted = " ".join(piece.split())
        if wanted not in rest:
            return False
        rest = rest.split(wanted, 1)[1] if wanted else rest
    return True


def commands(content):
    """Commands of a console block, each with the output shown below it."""
    parts = re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]
    return [tuple(part.split("\n", 1)) for part in parts]


class Shell:
    """Runs commands one after the other; exported variables stay."""

    def __init__(self, folder):
        self.folder = folder
        tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": tools, "COLUMNS": "80"}
        self.environment.pop("STEDOPT_CATALOG", None)

    def run(self, command):
        """Run a command; return its exit code and all that it wrote."""
        variables = self.folder / "variables"
        ended = subprocess.run(
            ["bash", "-c", f"{command}\ncode=$?\nexport -p > {variables}; exit $code"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
        )
        for name in re.findall(r"^export (\w+)=", command):
            line = next(x for x in variables.read_text().splitlines() if f" {name}=" in x)
            self.environment[name] = line.split("=", 1)[1].strip('"')
        return ended.returncode, ended.stdout

    def interrupt(self, command):
        """Run a command that images, and press Ctrl-C after its second image."""
        before = {path.stem for path in self.journals()}
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        while process.poll() is None and not self._has_images(before, 2):
            time.sleep(0.05)  # another process: nothing to wait for
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=100)
        return process.returncode, output

    def journals(self):
        return journal_paths(CatalogFolder(self.folder / self.environment["STEDOPT_CATALOG"]))

    def _has_images(self, before, images):
        begun = [path for path in self.journals() if path.stem not in before]
        return any(
            path.read_text().endswith("\n") and len(RunRecord.read(path).observations) >= images
            for path in begun
        )

    def python(self, code):
        """Run Python; return its exit code and all that it wrote."""
        (self.folder / "session.py").write_text(code)
        return self.run("python session.py")


def steps(text):
    """Turn the page into steps (kind, code, shown): Python blocks that follow one another are one.

    A ``text`` block is the output of the Python block above it.
    """
    found = []
    for language, content in blocks(text):
        if language == "console":
            found += [("shell", command, shown) for command, shown in commands(content)]
        elif language == "python" and found and found[-1][0] == "python":
            found[-1] = ("python", found[-1][1] + content, found[-1][2])
        elif language == "python":
            found.append(("python", content, ""))
        else:
            kind, code, shown = found[-1]
            assert kind == "python", "an output without Python above it"
            found[-1] = (kind, code, f"{shown}...{content}")
    return found


@pytest.mark.slow
@pytest.mark.timeout(400)  # 40 s on two cores; a loaded machine may need several times that
def test_the_tutorial_runs_as_it_stands(tmp_path):
    shell = Shell(tmp_path)
    done = 0
    for kind, code, shown in steps(TUTORIAL.read_text("utf-8")):
        interrupted = kind == "shell" and shown.startswith(INTERRUPT)
        if interrupted:
            returncode, output = shell.interrupt(code)
        else:
            returncode, output = shell.run(code) if kind == "shell" else shell.python(code)
        assert returncode == (130 if interrupted else 0), f"{code}\n{output}"
        assert matches(shown.removeprefix(INTERRUPT), output), (
            f"{code}\nshould show\n{shown}\nbut shows\n{output}"
        )
        done += 1
    assert done > 10
    assert (tmp_path / "first-run.png").stat().st_size > 10_000


def test_an_output_that_differs_is_noticed():
    assert matches(
        "ended  3 of 3 images\n...\ncatalogue", "x\n ended 3 of 3 images\ny\ncatalogue z"
    )
    assert matches("", "anything")
    assert not matches("ended  3 of 3 images", "ended 2 of 3 images")
    assert not matches("first ... second", "second first")


def test_every_block_of_the_tutorial_is_known():
    """No command hides in a block that is not run; only the set-up is (it installs)."""
    text = TUTORIAL.read_text("utf-8")
    languages = re.findall(r"^```(.+)$", text, re.MULTILINE)
    assert set(languages) <= {"console", "python", "text", "sh"}
    assert re.findall(r"^```sh\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) == [
        "make demo\n. .venv/bin/activate\n"
    ]
