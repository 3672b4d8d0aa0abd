"""The proxy's configuration in a real nginx, with TLS, before a real `stedopt serve catalog`."""

import contextlib
import os
import re
import shutil
import subprocess
from string import Template

import httpx
import pytest

from tests.facility.units import FACILITY, Host, stop
from tests.waiting import free_ports, wait_for

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not (NGINX and shutil.which("openssl")), reason="no nginx here"),
]
TEMPLATE = FACILITY / "nginx" / "stedopt.conf.template"
MAIN = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/main.log;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/stedopt.conf;
}}
"""


class Proxy:
    """nginx before a catalogue."""

    def __init__(self, folder, keys):
        self.folder = folder
        self.reader = (keys / "read.key").read_text()
        self.writer = (keys / "write.key").read_text()
        self.upstream, self.tls, self.health = free_ports(3)
        self.certificate = folder / "tls.crt"
        self.address = f"https://localhost:{self.tls}"

    def configure(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
             "-keyout", self.folder / "tls.key", "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        values = {
            "STEDOPT_UPSTREAM": f"127.0.0.1:{self.upstream}",
            "STEDOPT_TLS_LISTEN": f"127.0.0.1:{self.tls}",
            "STEDOPT_HEALTH_LISTEN": f"127.0.0.1:{self.health}",
            "STEDOPT_SERVER_NAME": "localhost",
            "STEDOPT_TLS_CERTIFICATE": str(self.certificate),
            "STEDOPT_TLS_KEY": f"{self.folder}/tls.key",
            "STEDOPT_ACCESS_LOG": f"{self.folder}/access.log",
            "STEDOPT_ERROR_LOG": f"{self.folder}/error.log",
        }
        # As envsubst does with the names that it is given; nginx's own $names stay.
        filled = Template(TEMPLATE.read_text("utf-8")).safe_substitute(values)
        assert "${STEDOPT" not in filled
        (self.folder / "stedopt.conf").write_text(filled)
        user = "user root;" if os.geteuid() == 0 else ""  # who may read pytest's folder
        main = self.folder / "nginx.conf"
        main.write_text(MAIN.format(folder=self.folder, user=user))
        return [NGINX, "-p", self.folder, "-c", main]

    def client(self, key=""):
        import ssl

        headers = {"authorization": f"Apikey {key}"} if key else {}
        trust = ssl.create_default_context(cafile=self.certificate)
        return httpx.Client(base_url=self.address, headers=headers, verify=trust, timeout=120)

    def healthy(self):
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.health}/healthz").status_code == 200

    @property
    def logs(self):
        return "".join(path.read_text() for path in self.folder.glob("*.log"))


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, keys, imaged, program):
    """The catalogue's unit without the images' feed, and nginx before it."""
    folder = tmp_path_factory.mktemp("proxy")
    proxy = Proxy(folder, keys)
    host = Host(folder / "host", {8000: proxy.upstream})
    shutil.copytree(keys, host.etc, dirs_exist_ok=True)
    (host.etc / "stedopt.env").write_text("STEDOPT_FEED=--no-feed\n")
    ignore = shutil.ignore_patterns("tiled", "locks")
    shutil.copytree(imaged, host.state / "catalogue", ignore=ignore)
    host.install("stedopt-catalog.service")
    command = proxy.configure()
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    with host.unit("stedopt-catalog.service").started() as server:
        nginx = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            wait_for(proxy.healthy, 300)
            proxy.catalogue = host.state / "catalogue"
            # An instrument feeds it through the proxy, whose certificate is of no public authority.
            subprocess.run(
                [program, "ingest", "--catalog", proxy.catalogue, "--to", proxy.address],
                env={
                    **os.environ,
                    "STEDOPT_CATALOG_KEY_FILE": str(keys / "write.key"),
                    "SSL_CERT_FILE": str(proxy.certificate),
                },
                check=True, capture_output=True,
            )  # fmt: skip
            yield proxy
            assert stop(server)[0] == 0
            # The key of an address is in no log, also when the server is down.
            with proxy.client() as http:
                assert http.get(f"/api/v1/metadata/?api_key={proxy.reader}").status_code == 502
        finally:
            nginx.terminate()
            nginx.wait(30)
    assert "/api/v1/metadata/ 502" in proxy.logs
    assert proxy.reader not in proxy.logs
    assert proxy.writer not in proxy.logs


def test_links_lead_back_to_the_proxy(proxy, uid):
    with proxy.client(proxy.reader) as http:
        answer = http.get(f"/api/v1/search/{uid}/primary")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"].startswith("max-age=")
    links = re.findall(r"(https?|wss?)://([\w.:]+)/", answer.text)
    assert links
    assert set(links) == {("https", f"localhost:{proxy.tls}")}


def test_images_are_read_through_it(proxy, uid, monkeypatch):
    from tiled.client import from_uri

    monkeypatch.setenv("SSL_CERT_FILE", str(proxy.certificate))
    client = from_uri(proxy.address, api_key=proxy.reader)
    with contextlib.closing(client.context):
        assert client[uid]["primary"]["microscope_sted1"][:].shape == (2, 64, 64)
        assert len(client[uid]["primary"].read(["dwelltime_us"])["dwelltime_us"]) == 2


def test_keys_count_behind_it(proxy, uid):
    path = f"/api/v1/metadata/{uid}"
    for key, method, status in (
        ("", "GET", 401),
        (proxy.reader, "GET", 200),
        (proxy.reader, "DELETE", 403),
    ):
        with proxy.client(key) as http:
            assert http.request(method, path).status_code == status
    with proxy.client() as http:  # as a browser is first called
        assert http.get(f"{path}?api_key={proxy.reader}").status_code == 200


def test_large_bodies_pass_and_larger_ones_do_not(proxy):
    # By the reader's key: the server answers that it may not write, the proxy that it is too large.
    with proxy.client(proxy.reader) as http:
        assert http.put("/api/v1/array/full/x", content=bytes(60 * 2**20)).status_code == 403
        assert http.put("/api/v1/array/full/x", content=bytes(65 * 2**20)).status_code == 413


def test_nothing_is_answered_without_tls(proxy):
    answer = httpx.get(f"http://localhost:{proxy.tls}/api/v1/metadata/")
    assert answer.status_code == 400
    health = f"http://127.0.0.1:{proxy.health}"
    assert httpx.get(f"{health}/healthz").status_code == 200
    headers = {"authorization": f"Apikey {proxy.reader}"}
    assert httpx.get(f"{health}/api/v1/metadata/", headers=headers).status_code == 404


def test_a_run_can_be_followed_through_it(proxy, uid):
    """A WebSocket gets as far as without the proxy: to the server's own answer."""
    import ssl

    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    def handshake(scheme, port, **more):
        address = f"{scheme}://localhost:{port}/api/v1/stream/single/{uid}"
        headers = {"authorization": f"Apikey {proxy.reader}"}
        try:
            with connect(address, additional_headers=headers, open_timeout=60, **more):
                return 101
        except InvalidStatus as refused:
            return refused.response.status_code

    trust = ssl.create_default_context(cafile=proxy.certificate)
    assert handshake("wss", proxy.tls, ssl=trust) == handshake("ws", proxy.upstream) == 101
