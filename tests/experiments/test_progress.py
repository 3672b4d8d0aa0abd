import io

from rich.console import Console

from stedopt_bluesky.experiments import progress
from stedopt_bluesky.experiments.progress import ExperimentProgress


def shown(terminal, monkeypatch, every=0.0):
    monkeypatch.setattr(progress, "_PLAIN_EVERY_S", every)
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=80)
    with ExperimentProgress(console, "trials", 3) as bar:
        for _ in range(3):
            bar(1)
    return output.getvalue()


def test_a_bar_in_a_terminal(monkeypatch):
    text = shown(True, monkeypatch)
    assert "trials" in text
    assert "3/3" in text
    assert "left" in text


def test_lines_in_a_log(monkeypatch):
    lines = shown(False, monkeypatch).splitlines()
    assert [line[:13] for line in lines] == ["1 of 3 trials", "2 of 3 trials"]


def test_a_log_is_not_filled(monkeypatch):
    assert shown(False, monkeypatch, every=10.0) == ""
