import io
import re

from rich.console import Console

from stedopt_bluesky.reports.live_run import LiveRun
from stedopt_bluesky.reports.live_table import LiveTable, one_line
from tests.records.lookers import model_of, run_documents


def drawn(run, notes=(), width=80, encoding="utf-8", **options):
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace", write_through=True)
    console = Console(file=file, width=width, highlight=False, **options)
    console.print(LiveTable(run, notes))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_what_stands_in_it():
    text = drawn(model_of(run_documents(12)[:-1]), ["3 documents were missed"])
    assert text.startswith("run a-run · actin · classical · Ada\nimage 12 of 12, 0:00:00 left\n")
    assert "light: depletion 24 mJ, excitation 6 µJ" in text
    rows = re.findall(r"^ +(\d+) +(\d+) +5 +(\S+) +(\d+) *$", text, re.M)
    assert [int(row[0]) for row in rows] == list(range(3, 13))  # the last ten
    assert rows[0] == ("3", "62", "invalid", "297")
    assert "(mW)" in text
    (snr,) = re.findall(r"^snr +(\S.*\S) +0\.1 to 1\.1 *$", text, re.M)
    assert len(snr) == 11  # the last one is invalid
    assert snr[2] == " "
    assert text.rstrip().endswith("3 documents were missed")


def test_it_says_how_a_run_ended_and_what_has_not_come():
    documents = run_documents(4)
    documents[-1][1].update(exit_status="abort", reason="interrupted by the user")
    text = drawn(model_of([*documents[:3], *documents[4:]]))
    assert "image 4 of 4: ended: abort: interrupted by the user" in text
    assert "1 images have not come" in text


def test_before_anything_is_known():
    assert drawn(LiveRun()) == "run not known yet\nimage 0\n"


def test_terminals_without_these_letters_get_others():
    text = drawn(model_of(run_documents(3)), encoding="ascii")
    assert re.search(r"^resolution \(nm\) +#\+_ 297 to 299", text, re.M)


def test_texts_of_documents_are_no_markup_and_no_orders():
    evil = "[red]x[/red]\x1b[2J\u202e"
    documents = run_documents(2, sample=evil, operator="[/]", objectives=["snr", evil])
    text = drawn(model_of(documents), [evil], force_terminal=True, width=100)
    assert "[red]x[/red][2J" in text
    assert "[/]" in text
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    assert "\x1b" not in one_line(model_of(documents), 1)


def test_one_line_of_an_image():
    assert one_line(model_of(run_documents(3)), 2) == (
        "image 2 of 3: depletion power 61 mW · dwelltime 5 µs · snr 0.2 · resolution 298 nm"
    )
