"""Many simulations, in this process and on real clusters whose workers are killed."""

from __future__ import annotations

import ipaddress
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import dask
import distributed  # noqa: F401 - its settings are in dask's only when it is loaded, and settings put back before are lost
import numpy as np
import psutil
import pytest

from kikuchinet import _cluster
from kikuchinet.crystal import crystals
from kikuchinet.diffraction import ElectronTransport, MasterPattern, campaign, cluster, job, simulate
from kikuchinet.diffraction import cache as cache_module
from kikuchinet.diffraction.cache import MasterCache
from kikuchinet.diffraction.campaign import simulate_many, worker_count
from kikuchinet.diffraction.campaign_bar import time_left
from kikuchinet.diffraction.job import SimulationJob
from kikuchinet.errors import InputError

TINY = SimulationJob(
    crystals["Al"], energy_kev=5.0, half_width=10, preset="fast"
)  # 5 keV: a short Monte Carlo run
TOO_SMALL = replace(TINY, half_width=3)
"""Refused by the simulator, for its size."""
NO_SECOND_TRY = {"distributed.scheduler.allowed-failures": 0}


def worker_processes() -> dict[int, psutil.Process]:
    """Return the living processes that were started for clusters, by number."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        # One that was killed may be gone at any moment.
        with suppress(psutil.NoSuchProcess):
            if "spawn_main" in " ".join(process.cmdline()):
                found[process.pid] = process
    return found


def listening(processes: Iterable[psutil.Process]) -> set[tuple[str, int]]:
    return {
        connection.laddr[:2]
        for process in processes
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }


@pytest.fixture
def quick(monkeypatch):
    """Let all simulations of this process share one Monte Carlo run, which takes most of the time of a small one."""
    transport = ElectronTransport.simulate(crystals["Al"], energies=1, electrons=20_000)
    monkeypatch.setattr(job, "simulate", partial(simulate, transport=transport))


# ---------------------------------------------------------------- in this process


def test_here_a_failure_does_not_stop_the_others(quick, tmp_path):
    store = MasterCache(tmp_path)
    jobs = [TINY, TOO_SMALL, replace(TINY, crystal=crystals["Ni"]), TINY]
    seen = []
    ended = list(simulate_many(jobs, store, workers=1, watch=seen.append))
    assert [one.job.key for one in ended] == [one.key for one in jobs[:3]]
    assert [one.standing.done for one in ended] == [1, 2, 3]
    assert ended[2].standing.share == pytest.approx(1.0)
    good, bad, _ = ended
    assert isinstance(bad.error, InputError)
    assert (bad.content, bad.path) == (b"", None)
    assert good.path == store.find(TINY.key)
    assert good.path.read_bytes() == good.content
    shares = [one.share for one in seen]
    assert shares == sorted(shares)
    assert {one.running for one in seen} == {("Al",), ("Ni",)}
    assert {one.total for one in seen} == {3}


def test_what_is_finished_is_in_the_cache_before_the_next_begins(quick, tmp_path):
    store = MasterCache(tmp_path)
    other = replace(TINY, crystal=crystals["Ni"])

    def interrupt(standing):
        if standing.running == ("Ni",):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(simulate_many([TINY, other], store, workers=1, watch=interrupt))
    assert store.find(TINY.key) is not None
    assert store.find(other.key) is None


def test_faults_of_ours_are_told_and_stop_nothing(monkeypatch):
    def faulty(crystal, **settings):
        raise ZeroDivisionError(crystal.name)

    monkeypatch.setattr(job, "simulate", faulty)
    first, second = simulate_many([TINY, TOO_SMALL], workers=1)
    assert isinstance(first.error, ZeroDivisionError)
    assert isinstance(second.error, ZeroDivisionError)


def test_a_large_cell_is_expected_to_take_longer():
    costs = [
        replace(TINY, crystal=crystals[name], half_width=100).cost_s
        for name in ("Al", "Ge", "Mo3Si", "Al4Ni3")
    ]
    assert costs == sorted(costs)
    assert replace(TINY, half_width=200).cost_s > replace(TINY, half_width=100).cost_s


def test_no_cell_is_thought_to_cost_more_than_the_preset_lets_it():
    # 112 atoms: hours if no reflection were left out.
    large = replace(TINY, crystal=crystals["Al4Ni3"], preset="accurate", half_width=100)
    assert 60 < large.cost_s < 600


def test_small_work_stays_in_this_process(monkeypatch):
    monkeypatch.setattr(campaign, "cores", lambda: 8)
    large = replace(TINY, half_width=500, preset="accurate", crystal=crystals["Al4Ni3"])
    assert worker_count([TINY, TINY]) == 1
    assert worker_count([large]) == 1
    assert worker_count([large] * 3) == 3
    assert worker_count([large] * 30) == 8
    assert worker_count([TINY, TINY], workers=5) == 2


def test_time_left_in_words():
    standing = campaign.Standing(done=1, total=2, share=0.5, left_s=200.0)
    assert time_left(standing) == "about 3 min left"
    assert time_left(replace(standing, left_s=20.0)) == "about 20 s left"
    assert time_left(replace(standing, left_s=7200.0)) == "about 2.0 h left"
    assert time_left(replace(standing, left_s=None)) == ""
    assert time_left(replace(standing, done=2, left_s=0.0)) == ""


# ---------------------------------------------------------------- on a cluster


class Gate:
    """Holds each job of a cluster, in the worker that has begun it, until it is opened.

    Whether the machine is fast or slow, what is to be seen of jobs that run can then be seen.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def begun(self) -> dict[int, str]:
        """The crystal of the job that waits, or waited last, in each process."""
        return {int(path.name): path.read_text() for path in self._folder.glob("[0-9]*")}

    def open(self) -> None:
        (self._folder / "open").touch()

    def hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have all jobs held that are sent to a cluster."""
        folder = self._folder

        # Local, so that dask sends it by value: a worker cannot import this file.
        def work(job, key):
            import os
            import time

            from kikuchinet.diffraction.cluster import _work

            new = folder / f".{os.getpid()}"
            new.write_text(job.name)
            new.rename(folder / str(os.getpid()))
            deadline = time.monotonic() + 300
            while not (folder / "open").exists():
                if time.monotonic() > deadline:
                    return TimeoutError("nobody opened the gate")
                time.sleep(0.02)
            return _work(job, key)

        monkeypatch.setattr(cluster, "_work", work)


class Witness:
    """Watches a cluster run, kills a worker process in the middle of its job, and waits for another in its place."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._seen: dict[int, str] = {}
        self._others = worker_processes()
        self._listening = listening([psutil.Process()])
        self.running: tuple[str, ...] = ()
        self.begun: dict[int, str] = {}
        self.listening: set[tuple[str, int]] = set()
        self.killed = 0
        self.in_its_place: set[int] = set()
        self.processes: dict[int, psutil.Process] = {}

    def __call__(self, standing) -> None:
        # Those of the last time had begun before this standing was taken.
        begun, self._seen = self._seen, self._gate.begun
        if len(begun) == 2 and not self.killed:
            self.running, self.begun = standing.running, begun
            self._remember()
            self.listening = listening([psutil.Process(), *self.processes.values()]) - self._listening
            self.killed = min(begun)
            os.kill(self.killed, signal.SIGKILL)
        elif len(begun) == 3 and not self.in_its_place:
            self.in_its_place = begun.keys() - self.begun.keys()
            self._remember()
            self._gate.open()

    def _remember(self) -> None:
        found = worker_processes().items()
        self.processes |= {pid: process for pid, process in found if pid not in self._others}


@pytest.fixture(scope="module")
def silicon():
    return simulate(crystals["Si"], energy_kev=5.0, half_width=10, preset="fast")


@pytest.fixture(scope="module")
def cluster_run(tmp_path_factory, silicon):
    """Three crystals and one that fails on two processes, one of which is killed.

    What numba compiles was compiled for `silicon`, so that two processes need not do it at once.
    """
    jobs = [TOO_SMALL, TINY, *(replace(TINY, crystal=crystals[name]) for name in ("W", "Si"))]
    store = MasterCache(tmp_path_factory.mktemp("store"))
    gate = Gate(tmp_path_factory.mktemp("gate"))
    witness = Witness(gate)
    with pytest.MonkeyPatch.context() as patch:
        gate.hold(patch)
        ended = {one.job.key: one for one in simulate_many(jobs, store, workers=2, watch=witness)}
    return jobs, store, ended, witness


def test_a_killed_worker_loses_no_job(cluster_run):
    jobs, store, ended, witness = cluster_run
    assert witness.killed in witness.begun
    assert len(witness.in_its_place) == 1
    assert witness.processes.keys() >= witness.begun.keys() | witness.in_its_place
    assert set(ended) == {one.key for one in jobs}
    for one in jobs[1:]:
        assert ended[one.key].error is None
        assert ended[one.key].path == store.find(one.key)
        master = MasterPattern.load(ended[one.key].path)
        assert master.name == one.name
        assert one.made(master)


def test_a_failing_job_comes_back_with_its_error(cluster_run):
    error = cluster_run[2][TOO_SMALL.key].error
    assert isinstance(error, InputError)
    assert "half-width 3" in str(error)


def test_a_worker_computes_what_this_process_does(cluster_run, silicon):
    (path,) = (one.path for one in cluster_run[2].values() if one.job.name == "Si")
    np.testing.assert_allclose(MasterPattern.load(path).upper, silicon.upper, rtol=1e-5)


def test_two_jobs_run_at_a_time_and_are_named(cluster_run):
    witness = cluster_run[3]
    assert len(witness.running) == 2
    assert sorted(witness.running) == sorted(witness.begun.values())


def test_nothing_listens_beyond_this_machine_and_no_page_is_served(cluster_run):
    addresses = cluster_run[3].listening
    assert all(ipaddress.ip_address(host).is_loopback for host, _ in addresses)
    # The scheduler, and for each process its keeper and itself; a page would be one more for each.
    assert len(addresses) == 1 + 2 * 2


def test_no_process_is_left(cluster_run):
    _, alive = psutil.wait_procs(list(cluster_run[3].processes.values()), timeout=60)
    assert not alive


def test_a_job_whose_workers_always_die_is_given_up(capfd, monkeypatch, tmp_path):
    gate = Gate(tmp_path)
    gate.hold(monkeypatch)
    killed: set[int] = set()

    def kill(standing):
        for pid in gate.begun.keys() - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)

    with dask.config.set(NO_SECOND_TRY):
        ended = list(simulate_many([TINY, TOO_SMALL], workers=2, watch=kill))
    assert len(ended) == len(killed) == 2
    for one in ended:
        assert isinstance(one.error, InputError)
        assert "died" in str(one.error)
    assert capfd.readouterr().err == ""


def test_a_job_that_waits_is_not_blamed_for_a_death(monkeypatch, tmp_path):
    gate = Gate(tmp_path)
    gate.hold(monkeypatch)
    killed: set[int] = set()

    def kill_the_first(standing):
        for pid in gate.begun.keys() - killed:
            if killed:
                gate.open()
            else:
                os.kill(pid, signal.SIGKILL)
            killed.add(pid)

    with dask.config.set(NO_SECOND_TRY):
        # What costs more comes first.
        (_, first), (_, second) = cluster.compute_on_cluster([TOO_SMALL, TINY], None, 1, kill_the_first)
    assert "died" in str(first)
    assert isinstance(second, InputError)
    assert "half-width 3" in str(second)


def test_workers_of_another_version_are_refused(monkeypatch):
    key = TINY.key
    monkeypatch.setattr(cache_module, "PHYSICS_REVISION", cache_module.PHYSICS_REVISION + 1)
    # The job carries the key that was worked out before; the worker must not believe it.
    assert TINY.key == key
    answer = cluster._work(TINY, key)
    assert isinstance(answer, InputError)
    assert "another version" in str(answer)


def test_no_scheduler_there(monkeypatch):
    monkeypatch.setattr(_cluster, "_CONNECT_S", 1.0)
    with pytest.raises(InputError, match="no dask scheduler"):
        list(simulate_many([TINY], scheduler="tcp://127.0.0.1:9"))


def test_dask_is_loaded_only_for_a_cluster():
    code = (
        "import sys, kikuchinet.datasets, kikuchinet.cli, kikuchinet.diffraction.cluster\n"
        "print('distributed' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"


_SCRIPT = """
import numba
from kikuchinet import _cluster
from kikuchinet.crystal import crystals
from kikuchinet.diffraction.campaign import simulate_many
from kikuchinet.diffraction.job import SimulationJob

class Compiling(SimulationJob):
    def run(self, progress=None):
        # As on a machine where nothing is compiled yet: numba reads its environment again before it compiles.
        numba.njit(lambda x: x + 1)(1)
        return super().run(progress)

if __name__ == "__main__":
    jobs = [Compiling(crystals[name], energy_kev=5.0, half_width=10, preset="fast") for name in ("Al", "Ni")]
    print([str(one.error) for one in simulate_many(jobs, workers=2)])
"""


def test_a_script_may_load_numba_before_its_guard(tmp_path):
    # Processes that are spawned load the script again, and numba with it, before dask sets their environment.
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == "['None', 'None']", done.stdout + done.stderr[-500:]
