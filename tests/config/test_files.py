"""Presets, TOML files, and the commented TOML that reads back as what it was."""

import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stedopt_bluesky.config import (
    DEFAULT_PRESET,
    ConfigError,
    ExperimentConfig,
    commented_toml,
    load_config,
    parse_config,
    preset,
    preset_names,
)
from stedopt_bluesky.config.sections import section_of


def test_the_presets():
    assert preset_names() == (
        DEFAULT_PRESET,
        "classical",
        "fixed_far_red",
        "live_far_red",
        "live_green",
        "two_colour",
        "uncaging",
    )


@pytest.mark.parametrize(
    ("name", "size", "images"),
    # Durand et al. 2018: 768 configurations and 100 images; 343 and 80.
    [
        ("demo", 768, 60),
        ("two_colour", 750, 100),
        ("classical", 768, 60),
        ("fixed_far_red", 768, 100),
        ("live_far_red", 343, 80),
        ("live_green", 343, 80),
        ("uncaging", 132, 80),
    ],
)
def test_each_preset_loads(name, size, images):
    config = preset(name)
    assert config.preset == name
    assert (config.space.size, config.images) == (size, images)


@pytest.mark.parametrize("name", ["live", "fixed_far_rde", "../demo", "", 3, None])
def test_an_unknown_preset_is_refused(name):
    with pytest.raises(ConfigError) as refused:
        preset(name)
    message = str(refused.value)
    assert message.startswith(
        f"preset = {name!r}: allowed are demo, classical, fixed_far_red, live_far_red"
    )
    assert len(message.splitlines()) == 1


def test_a_preset_that_was_nearly_named_is_offered():
    with pytest.raises(ConfigError, match=r"did you mean 'fixed_far_red'\?"):
        preset("fixed_far_rde")


def read_back(config, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(commented_toml(config), "utf-8")
    return load_config(path)


@pytest.mark.parametrize("name", preset_names())
def test_the_commented_file_of_a_preset_reads_back(name, tmp_path):
    config = preset(name)
    assert read_back(config, tmp_path) == config


def taken_in(text, value):
    """Text with the ``#`` before each field and each table taken away, and a value for ``...``."""
    text = re.sub(r"^# (\[+[\w.]+\]+)$", r"\1", text, flags=re.MULTILINE)
    return re.sub(
        r"^# (\w+ = )(\.\.\.)?",
        lambda line: line[1] + (value if line[2] else ""),
        text,
        flags=re.MULTILINE,
    )


def holds_every_field(data, model):
    """Whether plain data, and the first entry of each list in it, have all fields of a section."""
    for name, field in model.model_fields.items():
        assert name in data, f"{model.__name__}.{name}"
        if inner := section_of(field.annotation):
            entry = data[name][0] if isinstance(data[name], list) else data[name]
            holds_every_field(entry, inner)
    assert set(data) == set(model.model_fields)


@pytest.mark.parametrize("name", preset_names())
def test_what_is_commented_out_belongs_where_it_stands(name):
    """In TOML a field belongs to the last header before it."""
    text = commented_toml(preset(name))
    holds_every_field(tomllib.loads(taken_in(text, '"here"')), ExperimentConfig)


def test_tables_that_are_commented_out_can_be_taken_in(tmp_path):
    before, rest = commented_toml(preset("two_colour")).split("[[channels]]")
    channel, after = rest.split("[channels.excitation]")
    excitation, regions = after.split("# Regions chosen by hand")
    regions, rectangles = regions.split("# Rectangles drawn by hand")
    path = tmp_path / "mine.toml"
    path.write_text(
        f"{before}[[channels]]{taken_in(channel, '150.0')}[channels.excitation]{excitation}"
        f"# Regions chosen by hand{taken_in(regions, '7.5')}# Rectangles by hand{rectangles}",
        "utf-8",
    )
    config = load_config(path)
    assert config.channels[0].depletion == config.depletion
    assert config.channels[0].depletion_power_mW == 150.0
    assert config.channels[0].excitation == preset("two_colour").channels[0].excitation
    (region,) = config.regions
    assert (region.x_um, region.y_um, region.stage_x_um) == (7.5, 7.5, 0.0)
    assert config.rectangles == ()


def test_every_field_is_in_the_commented_file_with_its_meaning():
    text = commented_toml(preset())
    for name, field in ExperimentConfig.model_fields.items():
        assert name in text
        inner = getattr(field.annotation, "model_fields", {})
        for inner_name, inner_field in inner.items():
            assert f"{inner_name} = " in text or f"# [[{name}.{inner_name}]]" in text
            assert f"# {inner_field.description}" in text
    assert "# bandwidth = ..." in text


text = st.text(st.characters(codec="utf-8"), max_size=20)
positive = st.floats(1e-9, 1e9)
powers = st.floats(0, 30).filter(lambda x: x == 0 or x > 1e-300)
parameter = st.one_of(
    st.builds(
        lambda values: {"name": "dwelltime_us", "values": sorted(values)},
        st.lists(st.floats(1, 1000), min_size=1, max_size=4, unique=True),
    ),
    st.builds(
        lambda points, spacing: {
            "name": "dwelltime_us",
            "low": 1.5,
            "high": 100,
            "points": points,
            "spacing": spacing,
        },
        st.integers(2, 100),
        st.sampled_from(["linear", "log"]),
    ),
)
changes = st.fixed_dictionaries(
    {},
    optional={
        "images": st.integers(1, 100_000),
        "seed": st.integers(0, 2**53 - 1),
        "operator": text,
        "sample.name": text.filter(bool),
        "sample.structure": text,
        "microscope.host": text,
        "microscope.kind": st.sampled_from(["twin", "specpy"]),
        "microscope.real_time": st.booleans(),
        "imaging.excitation_power_uW": powers,
        "imaging.line_steps": st.integers(1, 64),
        "overview.minimum_foreground": st.floats(0, 1),
        "bandit.exploration": st.none() | st.floats(0.01, 10),
        "bandit.bandwidth": st.none() | positive.map(lambda x: [x]),
        "depletion.calibration_power_mW": st.floats(400, 1e6).map(lambda x: [0, x]),
        "parameters": parameter.map(lambda p: [p]),
        "objectives": st.lists(text, min_size=1, max_size=3, unique=True).flatmap(
            lambda names: st.tuples(
                *(
                    st.fixed_dictionaries(
                        {"name": st.just(n), "weight": positive},
                        optional={"noise_upper_bound": positive},
                    )
                    for n in names
                )
            )
        ),
    },
)


@given(changes)
def test_the_commented_file_of_any_configuration_reads_back(changes):
    # One parameter throughout, so that bandwidths of length 1 fit.
    one = [{"name": "dwelltime_us", "values": [5.0, 10.0]}]
    config = preset().updated({"parameters": one, **changes})
    # The file stands for itself: every field is written out, whatever the preset says.
    assert parse_config(tomllib.loads(commented_toml(config))) == config


def test_a_file_says_what_differs_from_its_preset(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('preset = "live_far_red"\n[excitation]\nlaser = 3\n', "utf-8")
    config = load_config(path)
    assert config == preset("live_far_red").updated({"excitation.laser": 3})
    assert config.excitation.power_limit_uW == 13.7


def test_lists_of_a_preset_are_replaced_whole(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'preset = "demo"\n[[parameters]]\nname = "dwelltime_us"\nvalues = [5, 10]\n', "utf-8"
    )
    assert load_config(path).space.names == ("dwelltime_us",)


def test_a_file_without_a_preset_stands_for_itself(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[parameters]]\nname = "dwelltime_us"\nvalues = [5, 10]\n[[objectives]]\nname = "snr"\n',
        "utf-8",
    )
    config = load_config(str(path))
    assert config.preset == ""
    assert config.space.size == 2


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    """Windows' Notepad writes one."""
    path = tmp_path / "notepad.toml"
    path.write_bytes(b"\xef\xbb\xbf" + b'preset = "demo"\r\nimages = 3\r\n')
    assert load_config(path).images == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"images = ", "not TOML: .*line 1|not TOML: .*end of document"),
        (b"images = 1\nimages = 2", "not TOML"),
        (b"images = " + b"[" * 100_000, "not TOML: nested too deeply"),
        (b"images = " + b"9" * 5000, "not TOML"),
        (b"\x89PNG\r\n\x1a\n\xff", "not TOML: byte 0 is not UTF-8"),
        ("operator = 'André'".encode("latin-1"), "not TOML: byte 16 is not UTF-8"),
        (b"", "parameters: missing; it is needed"),
        (b"preset = 'dmo'", r"preset = 'dmo': allowed are demo, .*did you mean 'demo'"),
        (b"preset = 4", "preset = 4: allowed are demo"),
        (b"preset = ['demo']", r"preset = \['demo'\]: allowed are demo"),
        (b"preset = 'demo'\nsample = 4", "sample = 4: a table of fields"),
        (b"preset = 'demo'\n[sample]\nnam = 1", "sample.nam = 1: unknown field; .*'name'"),
        (b"preset = 'demo'\nimages = 0", "images = 0: at least 1"),
        (b"preset = 'demo'\nseed = 1979-05-27", "seed = 1979-05-27: a whole number"),
        (b"preset = 'demo'\n[imaging]\ndwelltime_us = nan", "dwelltime_us = nan: a finite number"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(content, says, tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as refused:
        load_config(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert len(str(refused.value).splitlines()) == 1


def test_what_is_no_file_is_refused(tmp_path):
    file = tmp_path / "file.toml"
    file.write_text("")
    for path, says in [
        (tmp_path / "none.toml", "No such file or directory: expected a TOML file"),
        (tmp_path, "Is a directory|Permission denied"),
        (file / "inside.toml", "expected a TOML file"),
    ]:
        with pytest.raises(ConfigError, match=says) as refused:
            load_config(path)
        assert str(refused.value).startswith(f"{path}: ")


@pytest.mark.parametrize("name", preset_names())
def test_tables_can_be_appended_to_a_written_configuration(tmp_path, name):
    """A list of tables that is written as an empty list could not be added to."""
    text = commented_toml(preset(name))
    more = '[[regions]]\nx_um = 1.0\ny_um = 2.0\n[[microscope.labels]]\nsample = "actin"\n'
    more += 'fluorophore = "EGFP"\n'
    path = tmp_path / "mine.toml"
    path.write_text(text + more, "utf-8")
    config = load_config(path)
    assert [(r.x_um, r.y_um) for r in config.regions] == [(1.0, 2.0)]
    assert config.microscope.labels[-1].fluorophore == "EGFP"
