"""The microscope of a configuration."""

import pytest

from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.session import connect_application, make_instrument

SMALL = {"microscope.field_um": 10.0, "overview.size_um": 10.0}


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("0.13.11885", "not how it switches each laser off: Imspector 16 is needed to image"),
        ("14.0", "Imspector '14.0': the parameter trees of 16.x and of 0.1x"),
    ],
)
def test_an_imspector_that_cannot_be_used_safely_is_refused(version, says, monkeypatch):
    config = preset("classical").updated(SMALL)
    application = connect_application(config)
    monkeypatch.setattr(application, "version", lambda: version)
    with pytest.raises(ConfigError, match=says) as refused:
        make_instrument(config, application)
    assert "\n" not in str(refused.value)
    # Nothing was opened.
    assert application.measurement_names() == []
