"""A run that is made document by document, as a session would: journal, publisher, announcement."""

import contextlib
import json
import threading
import time
from collections import deque

import zmq

from stedopt_bluesky.records.announcement import Announcement
from stedopt_bluesky.records.journal import Journal
from stedopt_bluesky.records.live import Publisher
from stedopt_bluesky.records.looking_on import look_on
from stedopt_bluesky.reports.live_run import LiveRun

PATIENCE_S = 30


def in_words(documents):
    """As JSON: NaN is no NaN's equal, and a tuple comes as a list."""
    return [json.dumps([name, doc]) for name, doc in documents]


def model_of(documents):
    """What a live view knows of a run after these documents."""
    run = LiveRun()
    for name, doc in documents:
        run.take(name, doc)
    return run


@contextlib.contextmanager
def publishing_anything():
    """A socket that publishes whatever it is given, and its address."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        yield socket, f"127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"


def run_documents(images, uid="a-run", padding="", time_s=1_700_000_000.0, **md):
    """A run with one stream, `primary`, as a RunEngine emits it; every third snr is invalid."""
    begun = time_s
    start = {
        "uid": uid,
        "time": begun,
        "sample": "actin",
        "preset": "classical",
        "operator": "Ada",
        "images_planned": images,
        "parameters": ["depletion_power_mW", "dwelltime_us"],
        "objectives": ["snr", "resolution_nm"],
        **md,
    }
    number, text = ({"source": "x", "dtype": d, "shape": []} for d in ("number", "string"))
    keys = (
        "depletion_power_mW",
        "dwelltime_us",
        "objective_snr",
        "objective_resolution_nm",
        "microscope_depletion_dose_mJ",
        "microscope_excitation_dose_uJ",
    )
    descriptor = {
        "uid": f"{uid}-descriptor",
        "time": begun,
        "run_start": uid,
        "name": "primary",
        "data_keys": {**dict.fromkeys(keys, number), "padding": text},
    }
    documents = [("start", start), ("descriptor", descriptor)]
    for n in range(1, images + 1):
        snr = float("nan") if n % 3 == 0 else 0.1 * n
        values = (59.0 + n, 5.0, snr, 300.0 - n, 2.0, 0.5)
        data = {**dict(zip(keys, values, strict=True)), "padding": padding}
        documents.append(
            (
                "event",
                {
                    "uid": f"{uid}-{n}",
                    "time": begun + 10.0 * n,
                    "seq_num": n,
                    "descriptor": descriptor["uid"],
                    "data": data,
                    "timestamps": dict.fromkeys(data, begun),
                    "filled": {},
                },
            )
        )
    stop = {
        "uid": f"{uid}-stop",
        "time": begun + 10.0 * images + 1,
        "run_start": uid,
        "exit_status": "success",
        "reason": "",
        "num_events": {"primary": images},
    }
    return [*documents, ("stop", stop)]


class Emitter:
    """What a session has subscribed: journal, publisher and announcement."""

    def __init__(self, folder=None, *, published=True, announced=True):
        self.callbacks, self.closing = [], []
        if folder is not None:
            journal = Journal(folder, fsync=False)
            self._add(journal)
        if published:
            self.publisher = Publisher()
            self._add(self.publisher)
            if folder is not None and announced:
                self._add(Announcement(folder, self.publisher.address))

    def _add(self, callback):
        self.callbacks.append(callback)
        self.closing.append(callback.close)

    def __call__(self, documents):
        for name, doc in documents:
            for callback in self.callbacks:
                callback(name, doc)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for close in reversed(self.closing):
            close()


class Looker(threading.Thread):
    """Looks on in a thread; it may be told to take no more for a while."""

    def __init__(self, folder=None, **options):
        super().__init__(daemon=True)
        self.stop, self.may_take = threading.Event(), threading.Event()
        self.may_take.set()
        self.seen, self.said = deque(), deque()
        self.problem = None
        self.documents = look_on(folder, stop=self.stop, say=self.said.append, **options)
        self.start()

    def run(self):
        try:
            for seen in self.documents:
                self.seen.append(seen)
                self.may_take.wait(PATIENCE_S)
        except Exception as error:  # shown by the test
            self.problem = error

    def wait_until(self, condition):
        finish = time.monotonic() + PATIENCE_S
        while not condition(self):
            assert self.problem is None, self.problem
            assert time.monotonic() < finish, (list(self.said), len(self.seen))
            time.sleep(0.02)

    def ended(self):
        """Wait until it ends by itself; what it has seen."""
        self.join(PATIENCE_S)
        alive = self.is_alive()
        self.stop.set()
        self.join(PATIENCE_S)
        assert self.problem is None, self.problem
        assert not alive, (list(self.said), len(self.seen))
        return [(s.name, s.doc) for s in self.seen]
