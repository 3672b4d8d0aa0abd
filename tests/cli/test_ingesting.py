"""``stedopt ingest``: what it tells, and with which exit code it ends."""

import signal

import pytest

from stedopt_bluesky.records import CatalogFolder, following
from stedopt_bluesky.records.following import Told
from tests.cli.services import end
from tests.cli.test_live import program


@pytest.mark.parametrize(
    ("options", "refused", "done", "code"),
    [
        ([], True, True, 1),
        ([], False, True, 0),
        ([], False, False, 1),
        (["--follow"], True, True, 0),
        (["--follow"], False, True, 0),
        (["--follow"], True, False, 1),
    ],
)
def test_an_end_that_was_asked_for_is_no_failure(
    stedopt, tmp_path, monkeypatch, options, refused, done, code
):
    def follow(target, finish, tell):
        tell(Told("in", "good-run"))
        if refused:
            tell(Told("refused", "bad-run-of-ours", "the journal is damaged"))
        return done

    monkeypatch.setattr(following, "follow", follow)
    CatalogFolder.create_or_open(tmp_path / "cat")
    result = stedopt("ingest", "--catalog", tmp_path / "cat", *options)
    assert result.exit_code == code, result.stderr
    assert ("run bad-run- cannot be taken in: the journal is damaged" in result.stderr) is refused
    if options:
        assert ("1 runs could not be taken in: bad-run-" in result.stderr) is refused


def test_a_signal_ends_it_also_where_a_run_is_refused(tmp_path):
    folder = CatalogFolder.create_or_open(tmp_path / "cat")
    (folder.journal / "2026").mkdir(parents=True)
    (folder.journal / "2026" / "bad-run.jsonl").write_bytes(b"garbage\ngarbage\n")
    with program("ingest", "--follow", "--catalog", folder.path) as process:
        told = ""
        while "cannot be taken in" not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        code, _, told = end(process, signal.SIGTERM)
    assert code == 0, told
    assert "1 runs could not be taken in: bad-run" in told
