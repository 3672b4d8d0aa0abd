"""What a cell shows is text and HTML in which nothing is HTML that was not ours."""

from rich.text import Text

from stedopt_bluesky.reports.notebook import cell_output, in_notebook


def test_what_a_cell_shows_is_escaped():
    shown = cell_output(Text("<img src=x onerror=alert(1)>"))
    assert shown["text/plain"] == "<img src=x onerror=alert(1)>\n"
    assert "&lt;img" in shown["text/html"]
    assert "<img" not in shown["text/html"]


def test_tests_run_in_no_notebook():
    assert not in_notebook()
