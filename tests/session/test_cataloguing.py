"""The key of a Tiled server that a configuration names: from a variable, or from a file."""

import pytest

from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.records import CatalogFolder
from stedopt_bluesky.session.cataloguing import check_catalog, target_of

URI = "http://127.0.0.1:8000"


@pytest.fixture
def config(monkeypatch):
    monkeypatch.delenv("STEDOPT_CATALOG_KEY", raising=False)
    monkeypatch.delenv("STEDOPT_CATALOG_KEY_FILE", raising=False)
    return preset("classical").updated({"catalog.uri": URI, "catalog.server_folder": "/srv/sted"})


def test_the_key_to_write_comes_from_a_file(config, monkeypatch, tmp_path):
    (tmp_path / "key").write_text("akeyofthetestsonly\n")
    monkeypatch.setenv("STEDOPT_CATALOG_KEY_FILE", str(tmp_path / "key"))
    check_catalog(config)
    target = target_of(config, CatalogFolder.create_or_open(tmp_path / "catalogue"))
    assert (target.uri, target.api_key) == (URI, "akeyofthetestsonly")
    assert target.server_folder == "/srv/sted"
    assert "akey" not in repr(target)


def test_a_server_without_a_key_is_refused(config, monkeypatch):
    with pytest.raises(ConfigError, match="set STEDOPT_CATALOG_KEY to a key"):
        check_catalog(config)
    monkeypatch.setenv("STEDOPT_CATALOG_KEY_FILE", "/not/there")
    with pytest.raises(ConfigError, match="STEDOPT_CATALOG_KEY_FILE = '/not/there'"):
        check_catalog(config)
