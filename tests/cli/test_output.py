import importlib
import logging
import sys

import pytest

from stedopt_bluesky.cli import output


def test_an_error_is_one_line_whatever_it_says(capsys):
    with pytest.raises(output.typer.Exit) as left:
        output.fail("x = [bold]3[/]\nnot allowed", code=1)

    assert left.value.exit_code == 1
    captured = capsys.readouterr()
    assert captured.err == "error: x = [bold]3[/] not allowed\n"
    assert captured.out == ""


@pytest.mark.parametrize(("name", "place"), output._WRONG.items())
def test_what_is_wrong_with_a_request_is_told_with_exit_code_2(capsys, name, place):
    error = getattr(importlib.import_module(f"stedopt_bluesky.{place}"), name)
    with pytest.raises(output.typer.Exit) as left, output.clear_errors():
        raise error("the reason")
    assert left.value.exit_code == 2
    assert capsys.readouterr().err == "error: the reason\n"


def test_what_is_wrong_with_the_program_is_not_hidden():
    with pytest.raises(ValueError, match="the reason"), output.clear_errors():
        raise ValueError("the reason")


def test_what_the_package_logs_is_a_warning_in_one_line(capsys):
    logger = logging.getLogger("stedopt_bluesky.devices.rating")
    with output.warnings_in_one_line():
        try:
            raise ZeroDivisionError("division by zero")
        except ZeroDivisionError:
            logger.exception("the images could not be rated")
        logging.getLogger("bluesky").error("Run aborted")
        logger.info("not for the user")
    handlers = logging.getLogger("stedopt_bluesky").handlers

    assert capsys.readouterr().err == "warning: the images could not be rated: division by zero\n"
    assert handlers == []
    assert logging.getLogger("bluesky").isEnabledFor(logging.ERROR)


@pytest.fixture
def script(tmp_path, monkeypatch):
    """An installed script, called by its path."""
    path = tmp_path / "my venv" / "stedopt"
    path.parent.mkdir()
    path.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.setenv("PATH", "")
    return path


def test_the_program_is_named_so_that_it_can_be_typed(script, monkeypatch):
    assert output.program() == f"'{script}'"  # quoted: there is a blank in it
    monkeypatch.setenv("PATH", str(script.parent))
    assert output.program() == "stedopt"


def test_the_program_without_its_script(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/x/stedopt_bluesky/cli/__main__.py"])
    assert output.program().endswith(" -m stedopt_bluesky.cli")
    monkeypatch.setattr(sys, "argv", ["/x/pytest"])
    assert output.program() == "stedopt"


def test_nan_is_no_json(capsys):
    with pytest.raises(ValueError, match="JSON compliant"):
        output.print_json({"utility": float("nan")})
    assert capsys.readouterr().out == ""
