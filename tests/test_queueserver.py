"""The profile in a real RE Manager with a real Redis: what is queued is imaged, no more."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from stedopt_bluesky.config.keys import VARIABLE as KEY_VARIABLE
from stedopt_bluesky.records import Catalog, CatalogFolder, RunRecord, find_run, list_runs
from stedopt_bluesky.records.resume import RESUMES
from tests.small import small_toml
from tests.waiting import free_ports, wait_for

qserver = pytest.importorskip("bluesky_queueserver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(map(shutil.which, ("redis-server", "redis-cli", "setsid", "bash"))),
        reason="needs Redis",
    ),
]

PROFILES = Path(__file__).parents[1] / "profiles"
CONFIG = small_toml(seed=3)
# What the test has to know of the microscope, and no user of a queue.
LASERS = """
import multiprocessing.util
import os

def _tell(application=session.instrument.application):
    with open(os.path.join(folder.path, "left"), "w") as file:
        print(application.measurement_names(), file=file)

# Of lower priority than the profile's: called after it.
multiprocessing.util.Finalize(None, _tell, exitpriority=0)

def lasers():
    instrument = session.instrument
    names = instrument.lasers
    powers = [instrument.power(c, n) for c in ("confocal", "sted", "overview") for n in names]
    return {"set_to": max(powers), "emit": max(instrument.application._backend.emitting.values())}
"""
DARK = {"set_to": 0, "emit": 0}
WAIT_S = 40.0  # a bound against hanging
USER = {"user": "AD", "user_group": "primary"}


class Queue:
    """A client of RE Manager."""

    def __init__(self, port, key, catalog):
        self.comm = qserver.ZMQCommSendThreads(
            zmq_server_address=f"tcp://127.0.0.1:{port}", server_public_key=key
        )
        self.catalog = catalog

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.comm.close()

    def ask(self, method, **parameters):
        answer = self.comm.send_message(method=method, params=parameters)
        assert answer.get("success", True), answer
        return answer

    def refused(self, method, **parameters):
        answer = self.comm.send_message(method=method, params=parameters)
        assert not answer["success"], answer
        return answer["msg"]

    def status(self):
        return self.comm.send_message(method="status")

    def answers(self):
        try:
            return self.status()
        except qserver.CommTimeoutError:
            return None

    def state(self, name):
        wait_for(lambda: self.status()["manager_state"] == name, WAIT_S, what=f"state {name}")

    def go_on(self):
        self.ask("re_resume")
        wait_for(
            lambda: self.status()["re_state"] != "paused", WAIT_S, what="the RunEngine to go on"
        )

    def open(self):
        self.ask("environment_open")
        self.state("idle")
        assert self.status()["worker_environment_exists"]

    def close(self):
        wait_for(self.answers, WAIT_S, what="RE Manager")
        self.ask("environment_close")
        self.state("idle")

    def add(self, name, **arguments):
        item = {"item_type": "plan", "name": name, "kwargs": arguments}
        return self.ask("queue_item_add", item=item, **USER)["item"]

    def clear(self, name):
        """Clear the queue, to which RE Manager has given back what did not end well."""
        assert [item["name"] for item in self.ask("queue_get")["items"]] == [name]
        self.ask("queue_clear")

    def begin(self, name, **arguments):
        """Put a plan into the queue and start it; the run that it begins."""
        before = {run.uid for run in self.runs()}
        self.add(name, **arguments)
        self.ask("queue_start")
        return wait_for(lambda: {r.uid for r in self.runs()} - before, WAIT_S, what="a run").pop()

    def perform(self, name, **arguments):
        """Have a plan executed to its end; the run's record."""
        uid = self.begin(name, **arguments)
        self.state("idle")
        self.status_of_last("completed")
        return self.record(uid)

    def status_of_last(self, exit_status):
        result = self.ask("history_get")["items"][-1]["result"]
        assert result["exit_status"] == exit_status, result

    def call(self, name, *args, group="primary"):
        """Have a function executed in the background; the task's result."""
        item = {"item_type": "function", "name": name, "args": list(args)}
        uid = self.ask(
            "function_execute", item=item, run_in_background=True, user="AD", user_group=group
        )["task_uid"]
        told = wait_for(
            lambda: (
                (told := self.ask("task_result", task_uid=uid))["status"] == "completed" and told
            ),
            WAIT_S,
            what=name,
        )
        return told["result"]

    def value(self, name, *args):
        result = self.call(name, *args)
        assert result["success"], result
        return result["return_value"]

    def runs(self):
        with contextlib.suppress(ValueError):  # the catalogue is made with the session
            return list_runs(CatalogFolder.open(self.catalog))
        return []

    def record(self, uid):
        return RunRecord.read(find_run(CatalogFolder.open(self.catalog), uid))

    def wait_for_images(self, uid, count):
        wait_for(
            lambda: next(r.images for r in self.runs() if r.uid == uid) >= count,
            WAIT_S,
            what=f"{count} images of {uid}",
        )


def places(record):
    events = record.events("primary")
    return [(e["data"]["region_x_um"], e["data"]["region_y_um"]) for e in events]


def end(process, state):
    """End what was started, by id."""
    if process.poll() is None:
        # More than once, as `timeout` sends it: while the script ends what it has started.
        for _ in range(10):
            process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
    left = state / "redis.pid"  # Redis removes it when it ends
    if left.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(left.read_text()), signal.SIGKILL)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextlib.contextmanager
def re_manager(folder, *options, **variables):
    """RE Manager as start.sh starts it, with an open environment; both end with the block."""
    redis, control, info = free_ports(3)
    state = folder / "state"
    log = (folder / "log").open("w")
    process = subprocess.Popen(
        ["bash", PROFILES / "queueserver" / "start.sh", *options],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "STEDOPT_CONFIG": str(folder / "config.toml"),
            "STEDOPT_CATALOG": str(folder / "catalog"),
            "STEDOPT_QUEUE_DIR": str(state),
            "STEDOPT_REDIS_PORT": str(redis),
            "STEDOPT_CONTROL_PORT": str(control),
            "STEDOPT_INFO_PORT": str(info),
            **variables,
        },
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        wait_for((state / "redis.pid").exists, WAIT_S, what="Redis, after the keys")
        key = (state / "public.key").read_text().strip()
        with Queue(control, key, folder / "catalog") as queue:
            wait_for(queue.answers, WAIT_S, what="RE Manager")
            queue.open()
            yield queue
            queue.close()
    finally:
        end(process, state)
        log.close()
    assert process.returncode == 143
    assert not (state / "redis.pid").exists()


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    """A queue for a twin in RE Manager's worker."""
    folder = tmp_path_factory.mktemp("queue")
    (folder / "config.toml").write_text(CONFIG)
    shutil.copytree(PROFILES / "profile_stedopt" / "startup", folder / "startup")
    (folder / "startup" / "95-lasers.py").write_text(LASERS)
    allowed = PROFILES / "queueserver" / "user_group_permissions.yaml"
    permissions = yaml.safe_load(allowed.read_text("utf-8"))
    for group in ("root", "primary"):
        permissions["user_groups"][group]["allowed_functions"].append("lasers")
    (folder / "permissions.yaml").write_text(yaml.safe_dump(permissions))
    options = (
        *("--startup-dir", folder / "startup"),
        *("--user-group-permissions", folder / "permissions.yaml"),
    )
    with re_manager(folder, *options) as queue:
        yield queue
        queue.close()
        left = folder / "catalog" / "left"
        wait_for(left.exists, WAIT_S, what="the worker's end")
        assert left.read_text() == "[]\n"
        queue.open()


def test_forms_know_the_plans_and_nothing_else_is_allowed(queue):
    plans = queue.ask("plans_allowed", user_group="primary")["plans_allowed"]
    assert set(plans) == {"optimize", "resume", "count_overview"}
    assert all(plan["description"] for plan in plans.values())
    parameters = {p["name"]: p for p in plans["optimize"]["parameters"]}
    assert all(p["description"] for p in parameters.values())
    assert parameters["images"]["annotation"] == {"type": "int"}
    assert (parameters["images"]["min"], parameters["images"]["default"]) == ("1", "60")
    assert "kernel_ts" in parameters["strategy"]["annotation"]["enums"]["Strategies"]
    assert queue.ask("devices_allowed", user_group="primary")["devices_allowed"] == {}
    assert queue.ask("plans_allowed", user_group="expert")["plans_allowed"] == {}


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("optimize", {"images": 0}, "out of range"),
        ("optimize", {"images": "many"}, "images\n  Input should be a valid integer"),
        ("optimize", {"strategy": "guess"}, "strategy\n  Input should be 'kernel_ts'"),
        ("optimize", {"regions": ["here"]}, "regions.0\n  Input should be a valid list"),
        ("mv", {}, "not in the list of allowed plans"),
    ],
)
def test_what_is_no_plan_with_its_arguments_does_not_get_into_the_queue(
    queue, name, arguments, says
):
    item = {"item_type": "plan", "name": name, "kwargs": arguments}
    assert says in queue.refused("queue_item_add", item=item, **USER)


def test_who_only_chooses_queues_nothing_and_calls_nothing_else(queue):
    expert = {"user": "AD", "user_group": "expert"}
    item = {"item_type": "plan", "name": "optimize", "kwargs": {"images": 1}}
    assert "not in the list of allowed plans" in queue.refused(
        "queue_item_add", item=item, **expert
    )
    function = {"item_type": "function", "name": "lasers"}
    assert "not allowed" in queue.refused(
        "function_execute", item=function, run_in_background=True, **expert
    )
    assert queue.call("pending_choice", group="expert")["return_value"] is None


def test_each_plan_is_a_run_of_its_own(queue):
    for strategy in ("kernel_ts", "random"):
        record = queue.perform(
            "optimize", images=3, strategy=strategy, sample="slide 4", comment="first look"
        )
        assert len(record.observations) == 3
        assert record.stop["exit_status"] == "success"
        assert (record.start["sample"], record.start["comment"]) == ("slide 4", "first look")
        assert record.start["stedopt"]["config"]["bandit"]["strategy"] == strategy
        assert [e["data"]["decision_iteration"] for e in record.events("decision")] == [0, 1, 2]
        assert RESUMES not in record.start
    assert queue.value("lasers") == DARK


def test_the_catalogue_is_fed_and_left_to_others_between_runs(queue):
    uid = queue.perform("optimize", images=1).uid
    folder = CatalogFolder.open(queue.catalog)

    def is_begun():
        with (
            contextlib.suppress(sqlite3.OperationalError),
            contextlib.closing(
                sqlite3.connect(f"file:{folder.tiled / 'catalog.db'}?mode=ro", uri=True)
            ) as database,
        ):
            return database.execute("select key from nodes where key = ?", (uid,)).fetchone()

    wait_for(is_begun, WAIT_S, what="the run in the catalogue")
    with Catalog(folder, wait_s=WAIT_S, fill=False) as catalog:
        assert catalog.run(uid).metadata["stop"]["exit_status"] == "success"


def test_regions_are_numbers(queue):
    record = queue.perform("optimize", images=2, regions=[[1.0, -2.0], [3.0, 4.0]])
    assert places(record) == [(1.0, -2.0), (3.0, 4.0)]


def test_overviews(queue):
    record = queue.perform("count_overview", overviews=2)
    assert len(record.events("overview")) == 2


def test_a_run_is_paused_aborted_and_gone_on_with(queue):
    uid = queue.begin("optimize", images=200, sample="slide 5")
    queue.wait_for_images(uid, 1)
    queue.ask("re_pause", option="deferred")
    queue.state("paused")
    assert queue.value("lasers")["emit"] == 0
    before = len(queue.record(uid).observations)
    queue.go_on()
    queue.wait_for_images(uid, before + 1)
    queue.ask("re_pause", option="immediate")
    queue.state("paused")
    queue.ask("re_abort")
    queue.state("idle")
    queue.status_of_last("aborted")
    assert queue.value("lasers") == DARK
    queue.clear("optimize")
    aborted = queue.record(uid)
    taken = len(aborted.observations)
    assert aborted.stop["exit_status"] == "abort"

    goes_on = queue.perform("resume", uid=uid[:8], images=2)
    assert (goes_on.start[RESUMES], goes_on.start["sample"]) == (uid, "slide 5")
    assert [e["data"]["decision_iteration"] for e in goes_on.events("decision")] == [
        taken,
        taken + 1,
    ]
    assert not set(places(aborted)) & set(places(goes_on))
    assert queue.value("lasers") == DARK


def test_an_expert_chooses_by_function(queue):
    uid = queue.begin("optimize", images=2, chooser="expert", choice_timeout_s=WAIT_S)
    asked = wait_for(lambda: queue.value("pending_choice"), WAIT_S, what="a question")
    assert asked["iteration"] == 0
    assert len(asked["values"]) == len(asked["configurations"]) > 5
    late = queue.call("choose_option", 7, 5)
    assert not late["success"]
    assert "the choice of iteration 0 is waited for" in late["msg"]
    # Pausable meanwhile, and answered while it is paused.
    queue.ask("re_pause", option="deferred")
    queue.state("paused")
    queue.value("choose_option", 0, 5, "AD")
    queue.go_on()
    wait_for(
        lambda: (queue.value("pending_choice") or {}).get("iteration") == 1,
        WAIT_S,
        what="a question",
    )
    queue.value("choose_option", 1, 2)
    queue.state("idle")
    queue.status_of_last("completed")
    data = [e["data"] for e in queue.record(uid).events("decision")]
    assert [(d["decision_index"], d["decision_chosen_by"]) for d in data] == [
        (5, "AD"),
        (2, "expert"),
    ]


@pytest.mark.parametrize(("policy", "ended"), [("rule", "success"), ("stop", "fail")])
def test_a_late_expert(queue, policy, ended):
    uid = queue.begin("optimize", images=1, chooser="expert", choice_timeout_s=1.0, if_late=policy)
    queue.state("idle")
    record = queue.record(uid)
    assert record.stop["exit_status"] == ended
    if policy == "rule":
        (decision,) = record.events("decision")
        assert decision["data"]["decision_chosen_by"] == "weighted_rule"
    else:
        assert "nobody chose for iteration 0 within 1 s" in record.stop["reason"]
        queue.clear("optimize")


def test_the_watchdog_darkens_what_a_destroyed_environment_left(tmp_path):
    """On a microscope that outlives the worker; another environment goes on with the run."""
    (tmp_path / "twin.toml").write_text(CONFIG)
    key = "k" * 40
    twin = subprocess.Popen(
        [
            *(sys.executable, "-m", "stedopt_bluesky.cli", "serve", "twin"),
            *(tmp_path / "twin.toml", "--port", "0"),
        ],
        env={**os.environ, KEY_VARIABLE: key},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        address = twin.stdout.readline().strip()
        (tmp_path / "config.toml").write_text(
            CONFIG.replace("[microscope]", f'[microscope]\nhost = "{address}"')
        )
        with re_manager(tmp_path, **{KEY_VARIABLE: key}) as queue:
            uid = queue.begin("optimize", images=200)
            queue.wait_for_images(uid, 1)
            queue.ask("environment_destroy")
            said = tmp_path / "catalog" / "watchdog.log"
            wait_for(lambda: said.exists() and said.read_text(), WAIT_S, what="the watchdog")
            assert "all lasers are at zero" in said.read_text()
            queue.state("idle")
            queue.clear("optimize")
            queue.open()
            goes_on = queue.perform("resume", uid=uid, images=1)
            assert goes_on.start[RESUMES] == uid
            assert len(goes_on.observations) == 1
    finally:
        twin.terminate()
        twin.wait(20)
        twin.stdout.close()
