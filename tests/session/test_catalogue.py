"""The catalogue that is opened when it is used."""

import pytest
from bluesky import RunEngine

from stedopt_bluesky.config import preset
from stedopt_bluesky.records import Catalog, CatalogError
from stedopt_bluesky.session import connect_application, open_session
from stedopt_bluesky.session.catalogue import CatalogWhenUsed

SMALL = {"microscope.field_um": 30.0, "overview.size_um": 30.0, "imaging.region_size_um": 1.28}


@pytest.fixture
def session(tmp_path):
    config = preset("classical").updated(SMALL)
    engine = RunEngine({}, context_managers=[])
    with open_session(
        config, connect_application(config), tmp_path / "cat", run_engine=engine
    ) as session:
        yield session


def test_each_use_takes_in_what_has_ended(session):
    with CatalogWhenUsed(session.folder) as opened:
        catalog, db = opened.client, opened.broker
        session.run_engine(session.optimize(images=1))
        assert not opened.is_open
        assert len(catalog) == 1
        assert opened.is_open
        (uid,) = session.run_engine(session.optimize(images=2))
        assert catalog[-1].start["uid"] == uid
        assert uid in catalog
        assert list(catalog)[-1] == uid
        assert len(db[-1].table("primary")) == 2
        (header,) = db(uid=uid)
        assert header.start["sample"] == "actin"
        assert {"search", "values"} <= set(dir(catalog))


def test_looking_at_its_name_is_no_use(session):
    with CatalogWhenUsed(session.folder) as opened:
        assert opened.client
        assert repr(opened.client) == f"<Tiled's client of {session.folder.path}>"
        assert not hasattr(opened.client, "_repr_html_")
        assert not opened.is_open


def test_who_closes_it_leaves_it_to_others(session):
    with CatalogWhenUsed(session.folder) as opened:
        assert len(opened.client) == 0
        with pytest.raises(CatalogError, match="open elsewhere"):
            Catalog(session.folder, wait_s=0.1).open()
        opened.close()
        with Catalog(session.folder, wait_s=0.1) as other:
            assert len(other.client) == 0
        assert len(opened.client) == 0
