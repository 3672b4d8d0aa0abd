import os

import pytest

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder


def tree(path):
    return sorted(str(p.relative_to(path)) for p in path.rglob("*"))


def test_makes_the_folder_and_its_parents_and_opens_them_again(tmp_path):
    made = CatalogFolder.create_or_open(tmp_path / "a" / "b")
    assert made.path == tmp_path / "a" / "b"
    assert CatalogFolder.open(tmp_path / "a" / "b") == made
    assert CatalogFolder.create_or_open(str(tmp_path / "a" / "b")) == made
    assert made.journal.parent == made.arrays.parent == made.tiled.parent == made.path


def test_an_empty_folder_becomes_a_catalogue(tmp_path):
    assert CatalogFolder.create_or_open(tmp_path).marker.is_file()


def test_the_path_is_absolute_and_free_of_links(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.chdir(tmp_path)
    assert CatalogFolder.create_or_open("link").path == tmp_path / "real"


@pytest.mark.parametrize("act", [CatalogFolder.open, CatalogFolder.create_or_open])
def test_refuses_a_file(tmp_path, act):
    path = tmp_path / "file"
    path.write_text("x")
    with pytest.raises(CatalogError, match=r"file is a file; a catalogue is a folder"):
        act(path)
    assert path.read_text() == "x"


@pytest.mark.parametrize("act", [CatalogFolder.open, CatalogFolder.create_or_open])
def test_refuses_a_folder_of_something_else(tmp_path, act):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(CatalogError, match="catalogue"):
        act(tmp_path)
    assert tree(tmp_path) == ["thesis.tex"]


@pytest.mark.parametrize("act", [CatalogFolder.open, CatalogFolder.create_or_open])
@pytest.mark.parametrize(
    ("text", "message"), [("format = 99\n", "format 99"), ("", "None"), ("=", "cannot be read")]
)
def test_refuses_a_marker_that_it_does_not_understand(tmp_path, act, text, message):
    (tmp_path / "catalog.toml").write_text(text)
    with pytest.raises(CatalogError, match=message):
        act(tmp_path)


def test_open_refuses_a_missing_folder(tmp_path):
    with pytest.raises(CatalogError, match="no such folder"):
        CatalogFolder.open(tmp_path / "missing")
    assert tree(tmp_path) == []


def test_refuses_a_path_below_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CatalogError, match=r"file is a file"):
        CatalogFolder.create_or_open(tmp_path / "file" / "a" / "b")


@pytest.mark.parametrize("name", ["#1", "why?"])
def test_refuses_characters_that_end_an_address(tmp_path, name):
    with pytest.raises(CatalogError, match="not allowed"):
        CatalogFolder.create_or_open(tmp_path / name)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("existing", [True, False])
def test_refuses_where_writing_is_not_allowed(tmp_path, monkeypatch, existing):
    path = tmp_path / "catalogue"
    if existing:
        CatalogFolder.create_or_open(path)
    before = tree(tmp_path)
    # Modes do not bind root, who may be running this.
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    with pytest.raises(CatalogError, match="no permission"):
        CatalogFolder.create_or_open(path)
    assert tree(tmp_path) == before


def test_reading_needs_no_right_to_write(tmp_path, monkeypatch):
    CatalogFolder.create_or_open(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    assert CatalogFolder.open(tmp_path).path == tmp_path


def test_nothing_is_left_when_the_disk_refuses(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    with pytest.raises(CatalogError, match="No space left"):
        CatalogFolder.create_or_open(tmp_path / "a" / "b" / "c")
    assert tree(tmp_path) == []


def test_the_kernel_refuses_too():
    if not os.path.isdir("/proc/self"):
        pytest.skip("needs /proc")
    with pytest.raises(CatalogError, match="/proc/catalogue"):
        CatalogFolder.create_or_open("/proc/catalogue/a")
