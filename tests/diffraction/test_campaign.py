"""Many simulations, in this process and on real clusters whose workers are killed."""

from __future__ import annotations

import ipaddress
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial

import dask
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


def worker_processes() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if "spawn_main" in " ".join(process.cmdline())
    ]


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


class Witness:
    """Watches a cluster run, and kills a worker process in the middle of its first job."""

    def __init__(self) -> None:
        self.running: set[tuple[str, ...]] = set()
        self.listening: list[tuple[str, int]] = []
        self.killed = 0
        self.workers: dict[int, psutil.Process] = {}

    def __call__(self, standing) -> None:
        self.running.add(standing.running)
        found = worker_processes()
        self.workers.update({process.pid: process for process in found})
        if standing.running and not self.killed:
            for process in (psutil.Process(), *found):
                self.listening += [
                    c.laddr[:2] for c in process.net_connections() if c.status == psutil.CONN_LISTEN
                ]
            os.kill(found[0].pid, signal.SIGKILL)
            self.killed = found[0].pid


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
    before = {c.laddr[:2] for c in psutil.Process().net_connections() if c.status == psutil.CONN_LISTEN}
    witness = Witness()
    ended = {one.job.key: one for one in simulate_many(jobs, store, workers=2, watch=witness)}
    witness.listening = [address for address in witness.listening if address not in before]
    return jobs, store, ended, witness


def test_a_killed_worker_loses_no_job(cluster_run):
    jobs, store, ended, witness = cluster_run
    assert witness.killed
    assert len(witness.workers) >= 3  # two, and the one that took the place of the killed one
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
    assert max(len(names) for names in cluster_run[3].running) == 2


def test_nothing_listens_beyond_this_machine_and_no_page_is_served(cluster_run):
    listening = cluster_run[3].listening
    assert all(ipaddress.ip_address(host).is_loopback for host, _ in listening)
    # The scheduler, and for each process its keeper and itself; a page would be one more for each.
    assert len(listening) == 1 + 2 * 2


def test_no_process_is_left(cluster_run):
    _, alive = psutil.wait_procs(list(cluster_run[3].workers.values()), timeout=10)
    assert not alive


def test_a_job_whose_workers_always_die_is_given_up(capfd):
    def kill(standing):
        if standing.running:
            for process in worker_processes():
                process.kill()

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        ended = [one for one in simulate_many([TINY, TOO_SMALL], workers=2, watch=kill) if one.job is TINY]
    assert len(ended) == 1
    assert isinstance(ended[0].error, InputError)
    assert "died" in str(ended[0].error)
    assert capfd.readouterr().err == ""


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
