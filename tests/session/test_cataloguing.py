"""Which catalogue is fed, and by what."""

import pytest

from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.records import Catalog
from stedopt_bluesky.session import catalog_key, check_catalog, fed, target_of
from tests.small import empty_catalogue

URI = "http://127.0.0.1:1"
CONFIG = preset("classical")


@pytest.fixture
def folder(tmp_path):
    return empty_catalogue(tmp_path / "cat")


def test_the_folders_own_catalogue_is_fed_beside(folder):
    with fed(CONFIG, folder) as ingestion:
        assert ingestion.finish(60) == ""
        assert ingestion.runs == {"empty"}
    with Catalog(folder) as catalog:
        assert list(catalog.client) == ["empty"]


def test_nothing_is_fed_where_that_is_left_to_others(folder):
    with fed(CONFIG.updated({"catalog.background": False}), folder) as ingestion:
        assert ingestion is None


def test_what_cannot_be_started_is_told(folder, monkeypatch, caplog):
    monkeypatch.setattr("sys.executable", str(folder.path / "no python"))
    with fed(CONFIG, folder) as ingestion:
        assert ingestion is None
    assert "the catalogue is not fed while images are taken: " in caplog.text


def test_a_servers_key_must_be_known(folder, monkeypatch):
    config = CONFIG.updated({"catalog.uri": URI})
    monkeypatch.delenv("STEDOPT_CATALOG_KEY", raising=False)
    expected = f"^catalog.uri = '{URI}': set STEDOPT_CATALOG_KEY to a key"
    with pytest.raises(ConfigError, match=expected):
        check_catalog(config)
    with pytest.raises(ConfigError, match=expected), fed(config, folder):
        pass
    with pytest.raises(ConfigError, match=f"^to = '{URI}': set"):
        catalog_key(URI, "to")
    monkeypatch.setenv("STEDOPT_CATALOG_KEY", "k" * 20)
    check_catalog(config)
    target = target_of(config, folder)
    assert (target.uri, target.api_key) == (URI, "k" * 20)
    assert target_of(CONFIG, folder).api_key == catalog_key("", "to") == ""


def test_a_servers_key_may_be_in_a_file(folder, monkeypatch, tmp_path):
    config = CONFIG.updated({"catalog.uri": URI})
    monkeypatch.delenv("STEDOPT_CATALOG_KEY", raising=False)
    (tmp_path / "key").write_text(f"{'k' * 20}\n")
    monkeypatch.setenv("STEDOPT_CATALOG_KEY_FILE", str(tmp_path / "key"))
    check_catalog(config)
    assert target_of(config, folder).api_key == "k" * 20
    monkeypatch.setenv("STEDOPT_CATALOG_KEY_FILE", "/not/there")
    with pytest.raises(ConfigError, match=r"^STEDOPT_CATALOG_KEY_FILE = '/not/there': cannot be"):
        check_catalog(config)
