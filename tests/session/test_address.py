import pytest

from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.imspector.connect import NoImspectorError
from stedopt_bluesky.session import connect_application
from stedopt_bluesky.session.address import Address, address_of
from stedopt_bluesky.session.twin import about_twin, start_twin
from stedopt_bluesky.twin import TwinApplication, make_sample
from stedopt_bluesky.twin.server import TwinServer

KEY = "a-key-of-the-tests"
SMALL = {"microscope.field_um": 6.0, "overview.size_um": 6.0}


def config(host="", kind="twin", **changes):
    return preset("classical").updated(
        {**SMALL, "microscope.host": host, "microscope.kind": kind, **changes}
    )


@pytest.mark.parametrize(
    ("kind", "host", "address", "private", "name"),
    [
        ("twin", "", Address("twin"), True, "the twin"),
        # A microscope's own configuration, tried on the twin.
        ("twin", "imspector-pc", Address("twin"), True, "the twin"),
        ("twin", "127.0.0.1:5000", Address("twin", "127.0.0.1", 5000), False, None),
        ("twin", "localhost:8", Address("twin", "127.0.0.1", 8), False, "the twin at 127.0.0.1:8"),
        ("specpy", "", Address("specpy"), False, "the Imspector on this computer"),
        ("specpy", "pc", Address("specpy", "pc"), False, "the Imspector on pc"),
    ],
)  # fmt: skip
def test_where_a_microscope_is(kind, host, address, private, name):
    found = address_of(config(host, kind))
    assert found == address
    assert found.is_private is private
    assert name in (None, found.name)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:1e3",
     "127.0.0.1:-1", "pc:5000", "0.0.0.0:5000", "::1", "[::1]:5000", "127.0.0.1:5000:1"],
)  # fmt: skip
def test_what_is_no_address_of_a_twin_is_refused(host):
    with pytest.raises(ConfigError, match=r"microscope.host = '.*': of a twin 127.0.0.1:PORT"):
        connect_application(config(host))


@pytest.fixture(scope="module")
def server():
    served = config()
    with TwinServer(start_twin(served), KEY, about=about_twin(served)) as server:
        yield server


def test_a_served_twin_is_connected_to(server, monkeypatch):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    assert connect_application(config(server.address)).host() == server.address


def test_its_key_may_be_in_a_file(server, monkeypatch, tmp_path):
    monkeypatch.delenv("STEDOPT_API_KEY", raising=False)
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("STEDOPT_API_KEY_FILE", str(tmp_path / "key"))
    assert connect_application(config(server.address)).host() == server.address
    monkeypatch.setenv("STEDOPT_API_KEY_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"STEDOPT_API_KEY_FILE = .*: cannot be read"):
        connect_application(config(server.address))


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        (None, ConfigError, "STEDOPT_API_KEY: set it to the key of the twin at 127.0.0.1"),
        ("another-key-of-16", NoImspectorError, "the key is missing or wrong"),
    ],
)
def test_a_key_that_is_missing_or_wrong(server, monkeypatch, key, error, words):
    monkeypatch.delenv("STEDOPT_API_KEY", raising=False)
    if key:
        monkeypatch.setenv("STEDOPT_API_KEY", key)
    with pytest.raises(error, match=words) as refused:
        connect_application(config(server.address))
    assert KEY not in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sample.name": "tubulin"}, "sample.name = 'tubulin': the twin at .* has 'actin'"),
        ({"microscope.field_um": 8.0}, "microscope.field_um = 8.0: the twin at .* has 6.0"),
        ({"microscope.fluorophore": "X"}, "microscope.fluorophore = 'X': the twin at .* has 'STAR"),
    ],
)
def test_a_twin_of_another_sample_is_refused(server, monkeypatch, changes, words):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    with pytest.raises(ConfigError, match=words):
        connect_application(config(server.address, **changes))


def test_one_that_does_not_say_what_it_images_is_refused(monkeypatch):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    with (
        TwinServer(TwinApplication(make_sample("actin", 0, 6e-6)), KEY) as silent,
        pytest.raises(ConfigError, match=r"sample.name = 'actin': the twin at .* has None"),
    ):
        connect_application(config(silent.address))


def test_where_none_answers_the_error_says_what_to_start(monkeypatch):
    monkeypatch.setenv("STEDOPT_API_KEY", KEY)
    with TwinServer(None, KEY) as gone:
        address = gone.address
    with pytest.raises(NoImspectorError, match=r"no twin answers at .* 'stedopt serve twin'"):
        connect_application(config(address))
