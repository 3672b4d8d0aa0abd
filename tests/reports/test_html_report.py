"""A page that holds all that it shows, harmless whatever a name says."""

import re
from html.parser import HTMLParser

import pytest

from stedopt_bluesky.reports.html_report import html_report, methods

HOSTILE = "</td><script>alert(1)</script><img src=//evil.example/x onerror=alert(2)>"
PNG = b"\x89PNG\r\n"


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_nothing_is_fetched_and_nothing_run(make_report):
    start = {"uid": "57dc", "sample": HOSTILE, "operator": HOSTILE, "time": 1.0}
    report = make_report([0.5, 0.7], start=start, reason=HOSTILE)
    page = Page(html_report([(report, {"tens": (HOSTILE, PNG)})]))
    assert "script" not in {tag for tag, _ in page.tags}
    sources = [attrs["src"] for _, attrs in page.tags if "src" in attrs]
    assert sources == ["data:image/png;base64,iVBORw0K"]
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert not any("href" in attrs for _, attrs in page.tags)
    (policy,) = [a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none'")
    assert page.text.count(HOSTILE) >= 4


def test_the_best_images_stand_in_a_table(make_report):
    page = Page(html_report([(make_report([0.83, 0.91, float("nan")]), {})]))
    rows = re.sub(r"\s+", " ", page.text)
    assert "The best images" in rows
    assert rows.index("0.91") < rows.index("0.83")


def test_of_several_runs_what_each_has_reached(make_report):
    runs = [(make_report([0.5], uid=uid), {}) for uid in ("aaaa1111-1", "bbbb2222-2")]
    page = Page(html_report(runs))
    assert "2 runs" in page.text
    assert page.text.index("aaaa1111") < page.text.index("bbbb2222")


def test_a_run_without_images_is_told(make_report):
    page = Page(html_report([(make_report([], images_planned=9, exit_status="fail"), {})]))
    assert "0 of 9" in page.text
    assert "The best images" not in page.text


@pytest.mark.parametrize("start", [{}, {"stedopt": None}, {"networks": {"quality": 7}}])
def test_methods_say_what_is_known(make_report, start):
    text = methods(make_report([0.5], start={"uid": "57dc", **start}))
    assert text.startswith(
        "1 region of a sample was imaged on a microscope by stedopt_bluesky, run 57dc0000-0000. "
    )
    assert "None" not in text
