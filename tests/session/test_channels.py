"""Two colours: a channel each, with its laser, detector, images and objectives."""

import numpy as np
import pytest

from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.objectives import rate
from stedopt_bluesky.records import CatalogFolder, RunRecord, find_run
from stedopt_bluesky.session import connect_application, make_instrument, open_session
from stedopt_bluesky.session.strategies import make_strategy
from stedopt_bluesky.twin import TwinApplication, make_sample

SMALL = {
    "microscope.field_um": 20.0,
    "overview.size_um": 20.0,
    "imaging.region_size_um": 1.28,
    "objectives": [
        {"name": "snr"},
        {"name": "orange_snr"},
        {"name": "orange_photobleaching"},
        {"name": "imaging_time_s", "weight": 0.1},
        {"name": "light_dose_mJ", "weight": 0.1},
    ],
}


@pytest.fixture(scope="module")
def config():
    return preset("two_colour").updated(SMALL)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    """Three images in two colours, and the twin that they were taken on."""
    folder = CatalogFolder.create_or_open(tmp_path_factory.mktemp("catalog"))
    application = connect_application(config)
    with open_session(config, application, folder) as session:
        (uid,) = session.run_engine(session.optimize(images=3))
        last = session.station.microscope.images
    return RunRecord.read(find_run(folder, uid)), application, last


def test_each_channel_has_its_images(run):
    record, _, last = run
    for shot in ("confocal1", "sted1", "confocal2"):
        first, orange = (record.images(f"microscope_{c}{shot}") for c in ("", "orange_"))
        assert first.shape == orange.shape == (3, 64, 64)
        # Two structures, not the same one twice.
        assert abs(np.corrcoef(first.ravel(), orange.ravel())[0, 1]) < 0.5
    np.testing.assert_array_equal(
        record.images("microscope_orange_sted1")[-1], last.channels["orange"].sted[0]
    )


def test_the_parameters_and_objectives_are_in_the_events(run, config):
    record, *_ = run
    table = record.table("primary")
    for name in ("excitation_power_uW", "orange_excitation_power_uW", "depletion_power_mW"):
        assert set(table[name]) <= set(next(p.values for p in config.space if p.name == name))
    (descriptor,) = record.descriptors["primary"]
    assert descriptor["data_keys"]["orange_excitation_power_uW"]["units"] == "µW"
    assert set(record.objectives) == {o["name"] for o in SMALL["objectives"]}
    assert all(np.isfinite(table["objective_orange_snr"]))


def test_each_channel_is_scanned_with_its_own_lasers(run):
    record, application, _ = run
    table = record.table("primary")
    sted = [r for r in application.emission_log if r.configuration == "sted"]
    # Per image: 640 and 775 nm, then 561 and 775 nm.
    assert [r.laser for r in sted[:4]] == ["LAS5", "LAS6", "LAS3", "LAS6"]
    powers_uW = [r.power_W * 1e6 for r in sted if r.laser == "LAS3"]
    assert powers_uW == pytest.approx(list(table["orange_excitation_power_uW"]))
    depletion_mW = [r.power_W * 1e3 for r in sted if r.laser == "LAS6"]
    assert depletion_mW == pytest.approx(list(np.repeat(table["depletion_power_mW"], 2)))


def test_time_and_dose_are_those_of_both_and_known_beforehand(run, config):
    record, _, last = run
    table = record.table("primary")
    pixels_s = table["dwelltime_us"] * 1e-6 * 64**2
    assert table["objective_imaging_time_s"] == pytest.approx(2 * pixels_s)
    powers_mW = (
        table["excitation_power_uW"] * 1e-3
        + table["orange_excitation_power_uW"] * 1e-3
        + 2 * table["depletion_power_mW"]
    )
    assert table["objective_light_dose_mJ"] == pytest.approx(powers_mW * pixels_s)
    # What the cloud of options knows is what is measured, bit for bit.
    options = make_strategy(config).suggest()
    columns = [options.objectives.index(n) for n in ("imaging_time_s", "light_dose_mJ")]
    measured = rate(last, ["imaging_time_s", "light_dose_mJ"])
    index = record.observations[-1][0]
    assert list(options.values[index, columns]) == list(measured.values())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"objectives": [{"name": "green_snr"}]}, "objectives.0.name = 'green_snr': allowed are"),
        (
            {"parameters": [{"name": "green_excitation_power_uW", "values": [1.0]}]},
            "there is no channel 'green', only orange",
        ),
        (
            {"parameters": [{"name": "orange_depletion_power_mW", "values": [1.0]}]},
            "the channel has the first one's power",
        ),
        (
            {"parameters": [{"name": "orange_excitation_power_uW", "values": [31.0]}]},
            r"parameters.0.values .*= 31: at most 30 µW \(orange.excitation.power_limit_uW\)",
        ),
        (
            {"channels": [{"name": "orange", "excitation": {"laser": 6}}]},
            "channels.0.excitation.laser .*= 6: another one than depletion.laser",
        ),
        ({"channels": [{"name": "sted"}]}, "channels.0.name = 'sted': another name than"),
        ({"channels": [{"name": "Ch 2"}]}, "channels.0.name = 'Ch 2': small letters and digits"),
        ({"microscope.labels": [{"sample": "nothing", "fluorophore": "EGFP"}]}, "labels.0.sample"),
        ({"microscope.labels": [{"sample": "actin", "fluorophore": "x"}]}, "labels.0.fluorophore"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(config, changes, says):
    with pytest.raises(ConfigError, match=says) as refused:
        connect_application(config.updated(changes))
    assert "\n" not in str(refused.value)


def test_an_imspector_with_too_few_channels(config):
    application = TwinApplication(make_sample("actin", 0, 5e-6))
    with pytest.raises(ConfigError, match="has 1 channels, 2 are needed"):
        make_instrument(config, application)
    assert application.measurement_names() == []
