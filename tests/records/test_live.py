import json
import pickle
import sys
import threading
import time
from itertools import islice
from pathlib import Path
from subprocess import PIPE, Popen

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stedopt_bluesky.records import live
from stedopt_bluesky.records.journal import find_run
from stedopt_bluesky.records.live import (
    MOST_BYTES,
    LiveError,
    Publisher,
    decode,
    deserialize,
    live_address,
    serialize,
)
from stedopt_bluesky.records.replay import emit
from stedopt_bluesky.records.run_record import RunRecord
from stedopt_bluesky.records.subscription import subscribe
from tests.records.lookers import in_words, publishing_anything
from tests.waiting import free_ports

PATIENCE_S = 20
TOKEN = b"0" * 32 + b":0:a:0"
START = {"uid": "a", "time": 1.0}


@pytest.fixture(scope="module")
def record(stored):
    folder, uid, _ = stored
    return RunRecord.read(find_run(folder, uid))


class Listener(threading.Thread):
    """Subscribes in a thread until the first stop document."""

    def __init__(self, address, pause_s=0.0):
        super().__init__(daemon=True)
        self.stop, self.received, self.refused = threading.Event(), [], []
        self.documents = subscribe(address, stop=self.stop, refused=self.refused.append)
        self.pause_s = pause_s
        self.start()

    def run(self):
        for received in self.documents:
            self.received.append(received)
            if received.name == "stop":
                return
            time.sleep(self.pause_s)

    def ended(self):
        self.join(PATIENCE_S)
        alive = self.is_alive()
        self.stop.set()
        self.join(PATIENCE_S)
        return not alive


def test_what_is_published_is_what_comes(record):
    with Publisher() as publisher:
        listener = Listener(publisher.address)
        assert publisher.wait_for_subscriber(PATIENCE_S)
        emit(record, publisher)
        assert listener.ended()
    assert in_words((r.name, r.doc) for r in listener.received) == in_words(record.documents)
    assert {r.missed for r in listener.received} == {0}
    # The index is that of the journal's record.
    assert [r.index for r in listener.received] == list(range(len(record.documents)))
    assert {r.run for r in listener.received} == {record.uid}
    assert listener.refused == []


def test_nobody_listens():
    with Publisher() as publisher:
        assert not publisher.wait_for_subscriber(0.05)
        for _ in range(100):
            publisher("start", START)
        listener = Listener(publisher.address)
        assert publisher.wait_for_subscriber(PATIENCE_S)
        publisher("stop", {"uid": "b", "time": 2.0, "run_start": "a", "exit_status": "success"})
        assert listener.ended()
    assert [(r.name, r.missed) for r in listener.received] == [("stop", 100)]


def test_who_has_gone_listens_no_more():
    with Publisher() as publisher:
        listener = Listener(publisher.address)
        assert publisher.wait_for_subscriber(PATIENCE_S)
        listener.stop.set()
        listener.join(PATIENCE_S)
        until = time.monotonic() + PATIENCE_S
        while publisher.wait_for_subscriber(0.0) and time.monotonic() < until:
            publisher("start", START)
            time.sleep(0.01)
        assert not publisher.wait_for_subscriber(0.0)


def test_a_slow_subscriber_delays_nobody_and_knows_what_it_missed(monkeypatch):
    monkeypatch.setattr(live, "HIGH_WATER_MARK", 10)
    documents, doc = 3000, {**START, "text": "x" * 20_000}
    may_read, stop, taken = threading.Event(), threading.Event(), []

    def read():
        for received in subscribe(publisher.address, stop=stop):
            taken.append(received)
            may_read.wait(PATIENCE_S)

    with Publisher() as publisher:
        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        assert publisher.wait_for_subscriber(PATIENCE_S)
        begun = time.monotonic()
        for _ in range(documents):  # sixty megabytes: more than all buffers hold
            publisher("start", doc)
        took_s = time.monotonic() - begun
        may_read.set()
        before = -1
        while len(taken) > before:
            before = len(taken)
            time.sleep(0.3)
        publisher("start", START)
        until = time.monotonic() + PATIENCE_S
        while len(taken) == before and time.monotonic() < until:
            time.sleep(0.01)
        stop.set()
        thread.join(PATIENCE_S)
    assert took_s < 10
    # Every number is accounted for: come or missed.
    missed = sum(r.missed for r in taken)
    assert missed > 0
    assert len(taken) + missed == documents + 1


def test_a_document_that_cannot_be_published_is_counted(caplog):
    with Publisher() as publisher:
        listener = Listener(publisher.address)
        assert publisher.wait_for_subscriber(PATIENCE_S)
        publisher("start", START)
        publisher("start", {**START, "a": object()})
        publisher("start", {**START, "a": "x" * (MOST_BYTES + 1)})
        publisher("stop", {"uid": "b", "time": 2.0, "run_start": "a", "exit_status": "success"})
        assert listener.ended()
    assert [(r.name, r.missed) for r in listener.received] == [("start", 0), ("stop", 2)]
    assert "a value of type object" in caplog.text
    assert "at most" in caplog.text


# --- with Bluesky -----------------------------------------------------------------------


def test_through_blueskys_proxy_to_its_dispatcher_and_to_ours(record):
    from bluesky.callbacks.zmq import RemoteDispatcher

    into, out = free_ports(2)
    command = Path(sys.executable).with_name("bluesky-0MQ-proxy")
    addresses = ("--in-address", f"127.0.0.1:{into}", "--out-address", f"127.0.0.1:{out}")
    proxy = Popen([command, *addresses], stdout=PIPE, stderr=PIPE)
    got, came = [], threading.Event()
    dispatcher = RemoteDispatcher(f"127.0.0.1:{out}", deserializer=deserialize, strict=True)

    def take(name, doc):
        got.append((name, doc))
        if name == "stop":
            came.set()

    dispatcher.subscribe(take)
    thread = threading.Thread(target=run_until_stopped, args=(dispatcher,), daemon=True)
    thread.start()
    listener = Listener(f"127.0.0.1:{out}")
    try:
        with Publisher(f"127.0.0.1:{into}", to_proxy=True) as publisher:
            assert publisher.wait_for_subscriber(60)
            time.sleep(1)  # the proxy does not tell who listens behind it
            emit(record, publisher)
            assert came.wait(PATIENCE_S)
            assert listener.ended()
    finally:
        dispatcher.loop.call_soon_threadsafe(dispatcher._task.cancel)
        thread.join(PATIENCE_S)
        proxy.terminate()
        proxy.communicate()
    recorded = in_words(record.documents)
    assert in_words(got) == recorded
    assert in_words((r.name, r.doc) for r in listener.received) == recorded


def run_until_stopped(dispatcher):
    import asyncio
    import contextlib

    with contextlib.suppress(asyncio.CancelledError, RuntimeError):
        dispatcher.start()


# --- what is refused --------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was loaded",))


HOSTILE = [
    b"",
    b" ",
    b" start " + pickle.dumps(START),
    TOKEN + b" start " + pickle.dumps(Bomb()),
    TOKEN + b" start " + pickle.dumps(START),
    TOKEN + b" start " + msgpack.packb([START]),
    TOKEN + b" start " + msgpack.packb({1: 2}),
    TOKEN + b" start " + msgpack.packb({**START, "a": {1: 2}}),
    TOKEN + b" start " + msgpack.packb({**START, "a": b"bytes"}),
    TOKEN + b" start " + msgpack.packb({**START, "a": msgpack.ExtType(5, b"x")}),
    TOKEN + b" start " + msgpack.packb({**START, "a": msgpack.Timestamp(0)}),
    TOKEN + b" start " + msgpack.packb({**START, b"nd": True, b"kind": b"O"}, use_bin_type=True),
    TOKEN + b" start " + b"\x91" * 100_000,
    TOKEN + b" start " + b"\xdf\xff\xff\xff\xff",
    TOKEN + b" start " + msgpack.packb(START) + b"x",
    TOKEN + b" start " + msgpack.packb({"uid": 5, "time": 1.0}),
    TOKEN + b" start " + msgpack.packb({"uid": "a"}),
    TOKEN + b" run " + msgpack.packb(START),
    # Of event-model, and of no RunEngine.
    TOKEN + b" bulk_events " + msgpack.packb({"a": []}),
    TOKEN + b" bulk_events " + msgpack.packb({}),
    TOKEN
    + b" bulk_datum "
    + msgpack.packb({"datum_kwarg_list": [], "resource": "r", "datum_ids": []}),
    TOKEN + b" \xff\xfe " + msgpack.packb(START),
    b"x:0:a:0 start " + msgpack.packb(START),
    b"0" * 32 + b":-1:a:0 start " + msgpack.packb(START),
    b"0" * 32 + b":0 start " + msgpack.packb(START),
    b"0" * 32 + b":0:a b:0 start " + msgpack.packb(START),
    b"0" * 32 + b":0:a/b:0 start " + msgpack.packb(START),
    b"0" * 32 + b":" + b"9" * 5000 + b":a:0 start " + msgpack.packb(START),
]


@pytest.mark.parametrize("message", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_messages_are_refused(message):
    with pytest.raises(LiveError):
        decode(message)


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_bytes_of_any_kind_are_a_document_or_refused(data):
    for message in (data, TOKEN + b" start " + data):
        try:
            *_, doc = decode(message)
        except LiveError:
            continue
        assert {"uid", "time"} <= set(doc)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@settings(deadline=None)
def test_what_json_has_words_for_comes_as_it_was(value):
    doc = {**START, "value": value}
    again = deserialize(serialize(doc))
    # NaN is no NaN's equal: by their words.
    assert json.dumps(again) == json.dumps(doc)


def test_numpys_numbers_become_plain_ones():
    doc = {"a": np.float64(0.1), "b": np.arange(3), "c": np.bool_(True), "d": (1, 2)}
    assert deserialize(serialize(doc)) == {"a": 0.1, "b": [0, 1, 2], "c": True, "d": [1, 2]}


@pytest.mark.parametrize("value", [object(), b"x", np.array([object()]), 2**64, 1j])
def test_what_json_has_no_word_for_is_not_sent(value):
    if isinstance(value, bytes):  # msgpack knows bytes: the other end refuses them
        with pytest.raises(LiveError, match="bytes"):
            deserialize(serialize({"a": value}))
        return
    with pytest.raises(LiveError):
        serialize({"a": value})


def test_a_subscriber_outlives_hostile_messages():
    with publishing_anything() as (socket, address):
        listener = Listener(address)
        assert socket.poll(PATIENCE_S * 1000)
        for message in HOSTILE:
            socket.send(message)
        socket.send_multipart([TOKEN, b"start", b""])
        good = msgpack.packb({"uid": "b", "time": 2.0, "run_start": "a", "exit_status": "success"})
        one = b"1" * 32
        socket.send(one + b":4:a:0 start " + msgpack.packb(START))
        socket.send(one + b":4:a:0 start " + msgpack.packb(START))
        socket.send(one + b":7:a:1 stop " + good)
        assert listener.ended()
    assert [(r.name, r.missed) for r in listener.received] == [("start", 4), ("stop", 2)]
    assert len(listener.refused) == len(HOSTILE) + 2
    assert all("\n" not in line for line in listener.refused)


def test_an_oversized_message_does_not_come():
    with publishing_anything() as (socket, address):
        listener = Listener(address)
        assert socket.poll(PATIENCE_S * 1000)
        socket.send(b"1" * 32 + b":0:a:0 start " + b"x" * (MOST_BYTES + 2000))
        # It is cut off, and comes back.
        assert socket.poll(PATIENCE_S * 1000)
        until = time.monotonic() + PATIENCE_S
        while not listener.received and time.monotonic() < until:
            doc = {"uid": "b", "time": 2.0, "run_start": "a", "exit_status": "success"}
            socket.send(b"1" * 32 + b":1:a:1 stop " + msgpack.packb(doc))
            time.sleep(0.05)
        assert listener.ended()
    assert [(r.name, r.missed) for r in listener.received] == [("stop", 1)]


@pytest.mark.parametrize(
    ("text", "address"),
    [("5577", 5577), (":0", 0), ("localhost:1", 1), ("tcp://127.0.0.1:65535", 65535)],
)
def test_addresses_of_this_computer(text, address):
    assert live_address(text) == f"tcp://127.0.0.1:{address}"


@pytest.mark.parametrize(
    "text", ["", "x", "0.0.0.0:5577", "*:5577", "microscope:5577", "127.0.0.1:65536", "ipc:///x:1"]
)
def test_other_addresses_are_refused(text):
    with pytest.raises(LiveError, match=r"127\.0\.0\.1:PORT"):
        Publisher(text)
    with pytest.raises(LiveError):
        subscribe(text)


def test_an_address_that_is_taken_is_told():
    with Publisher() as publisher, pytest.raises(LiveError, match=r"address = .*in use"):
        Publisher(publisher.address)


def test_who_subscribes_before_there_is_a_publisher_has_all(record):
    (port,) = free_ports(1)
    listener = Listener(f"127.0.0.1:{port}", pause_s=0.01)  # it reads on when the other has gone
    time.sleep(0.2)
    with Publisher(f"127.0.0.1:{port}") as publisher:
        assert publisher.wait_for_subscriber(PATIENCE_S)
        emit(record, publisher)
    assert listener.ended()
    assert in_words((r.name, r.doc) for r in listener.received) == in_words(record.documents)


def test_documents_can_be_taken_one_by_one():
    with Publisher() as publisher:
        taken = []
        thread = threading.Thread(
            target=lambda: taken.extend(islice(subscribe(publisher.address), 2)), daemon=True
        )
        thread.start()
        assert publisher.wait_for_subscriber(PATIENCE_S)
        for uid in "ab":
            publisher("start", {**START, "uid": uid})
        thread.join(PATIENCE_S)
    assert [r.doc["uid"] for r in taken] == ["a", "b"]


def test_a_socket_that_fails_never_reaches_the_run(caplog):
    publisher = Publisher()
    publisher.close()
    for uid in "ab":
        publisher("start", {**START, "uid": uid})
    assert caplog.text.count("documents are not published") == 1
