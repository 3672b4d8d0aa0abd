"""``stedopt report``: a page and pictures of stored runs."""

import re


def test_a_page_and_its_pictures(stedopt_json, stored, tmp_path):
    out = tmp_path / "a report"
    uids = [run["uid"] for run in (stored.finished, stored.resumed)]
    found, result = stedopt_json(
        "report", uids[0][:8], uids[1][:8], uids[0], "--out", out, "--catalog", stored.catalog
    )
    assert result.exit_code == 0, result.stderr
    assert found["runs"] == uids
    assert found["page"] == str((out / "report.html").resolve())
    page = (out / "report.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") == len(found["pictures"]) == 12
    for uid in uids:
        assert page.count(f"Run {uid[:8]}") >= 1
        assert (out / f"{uid[:8]}-posterior.png").read_bytes().startswith(b"\x89PNG")
    assert "regions of tubulin were imaged on twin (simulated)" in page
    assert re.search(r"depletion power \([0-9.]+ to [0-9.]+ mW, \d+ values\)", page)


def test_in_words(stedopt, stored, tmp_path):
    uid = stored.aborted["uid"][:8]
    result = stedopt("report", uid, "--out", tmp_path / "r", "--catalog", stored.catalog)
    assert result.exit_code == 0, result.stderr
    assert "report.html, and 6 pictures beside it" in result.stdout.replace("\n", "")


def test_what_cannot_be_is_told_before_anything_is_drawn(stedopt, stored, tmp_path):
    uid = stored.finished["uid"][:8]
    out = tmp_path / "out"
    result = stedopt("report", uid, "nosuch", "--out", out, "--catalog", stored.catalog)
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()
    out.write_text("a file")
    result = stedopt("report", uid, "--out", out, "--catalog", stored.catalog)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: out = ")
