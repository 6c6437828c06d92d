"""``kikuchinet simulate``: many crystals, the cache, and runs that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from kikuchinet.cli import app
from kikuchinet.cli._crystals_argument import find_crystals
from kikuchinet.crystal import crystals
from kikuchinet.diffraction import ElectronTransport, MasterPattern, job, simulate
from kikuchinet.errors import InputError

TINY = ("--half-width", 10, "--preset", "parity", "--energy-kev", 5)


def invoke(*words: object):
    return CliRunner().invoke(app, ["simulate", *map(str, words)])


def ok(*words: object) -> str:
    result = invoke(*words)
    assert result.exit_code == 0, result.output + result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.fixture
def simulated(monkeypatch, tmp_path):
    """Names of the crystals that were simulated, in order; all share one Monte Carlo run, and a cache of their own."""
    names: list[str] = []
    transport = ElectronTransport.simulate(crystals["Al"], energies=1, electrons=20_000)
    run = partial(simulate, transport=transport)

    def counted(crystal, **settings):
        names.append(crystal.name)
        return run(crystal, **settings)

    monkeypatch.setattr(job, "simulate", counted)
    monkeypatch.setenv("KIKUCHINET_CACHE", str(tmp_path / "cache"))
    return names


def cache_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.h5"))


def write_cifs(folder: Path, **names: str) -> Path:
    folder.mkdir()
    for stem, name in names.items():
        (folder / f"{stem}.cif").write_text(crystals[name].to_cif())
    return folder


def test_another_folder_is_filled_from_the_cache(simulated, tmp_path):
    said = ok("Ni", "Al", "--out", tmp_path / "a", *TINY)
    assert "2 crystals: 2 to simulate" in said
    assert "(2 of 2)" in said
    assert simulated == ["Ni", "Al"]
    said = ok("Ni", "W", "--out", tmp_path / "b", *TINY)
    assert "2 crystals: 1 in the cache, 1 to simulate" in said
    assert simulated == ["Ni", "Al", "W"]
    assert (tmp_path / "b" / "Ni.h5").read_bytes() == (tmp_path / "a" / "Ni.h5").read_bytes()
    assert len(cache_files(tmp_path / "cache")) == 3
    assert "1 crystal: 1 kept" in ok("Ni", "--out", tmp_path / "b", *TINY)
    assert len(simulated) == 3


def test_a_changed_debye_waller_factor_is_another_simulation(simulated, tmp_path):
    ok("Ni", "--out", tmp_path, *TINY)
    (site,) = crystals["Ni"].sites
    warm = crystals["Ni"].replace(sites=(type(site)(site.element, site.position, 1.0, 2 * site.b_iso_nm2),))
    (tmp_path / "Ni.cif").write_text(warm.to_cif())
    said = ok(tmp_path / "Ni.cif", "--out", tmp_path, *TINY)
    assert "1 to simulate" in said
    assert simulated == ["Ni", "Ni"]
    assert MasterPattern.load(tmp_path / "Ni.h5").crystal.sites[0].b_iso_nm2 == pytest.approx(
        2 * site.b_iso_nm2
    )


def test_a_damaged_cache_entry_is_simulated_again(simulated, tmp_path):
    ok("Ni", "--out", tmp_path / "a", *TINY)
    (entry,) = cache_files(tmp_path / "cache")
    whole = entry.read_bytes()
    entry.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    ok("Ni", "--out", tmp_path / "b", *TINY)
    assert simulated == ["Ni", "Ni"]
    assert (tmp_path / "b" / "Ni.h5").read_bytes() == whole
    assert [path.read_bytes() for path in cache_files(tmp_path / "cache")] == [whole]


def test_the_same_crystal_of_another_name_is_not_simulated_again(simulated, tmp_path):
    folder = write_cifs(tmp_path / "cifs", a="Ni")
    (folder / "b.cif").write_text(crystals["Ni"].replace(name="nickel").to_cif())
    out = tmp_path / "out"
    assert "2 crystals: 1 to simulate" in ok(folder, "--out", out, *TINY)
    (out / "b.h5").unlink()
    assert "1 kept, 1 in the cache" in ok(folder, "--out", out, *TINY)
    assert simulated == ["Ni"]
    first, second = (MasterPattern.load(out / name) for name in ("a.h5", "b.h5"))
    assert (first.name, second.name) == ("Ni", "nickel")
    assert second.crystal.name == "nickel"
    assert (first.upper == second.upper).all()


def test_without_a_cache_only_the_folder_is_filled(simulated, tmp_path):
    ok("Ni", "--out", tmp_path / "a", "--no-cache", *TINY)
    assert not (tmp_path / "cache").exists()
    assert "1 kept" in ok("Ni", "--out", tmp_path / "a", "--no-cache", *TINY)
    ok("Ni", "--out", tmp_path / "a", "--no-cache", "--force", *TINY)
    assert simulated == ["Ni", "Ni"]


def test_a_named_cache_folder_is_used(simulated, tmp_path):
    ok("Ni", "--out", tmp_path / "a", "--cache", tmp_path / "mine", *TINY)
    assert len(cache_files(tmp_path / "mine")) == 1
    assert not (tmp_path / "cache").exists()
    ok("Ni", "--out", tmp_path / "b", "--cache", tmp_path / "mine", "--force", *TINY)
    assert simulated == ["Ni", "Ni"]
    assert len(cache_files(tmp_path / "mine")) == 1


def test_bad_crystals_do_not_stop_the_good_ones(simulated, tmp_path):
    folder = write_cifs(tmp_path / "cifs", a="Al", c="Ni")
    (folder / "b.cif").write_text("data_b\n_cell_length_a nonsense\n")
    (folder / "notes.txt").write_text("no crystal")
    result = invoke(folder, "--out", tmp_path / "out", *TINY)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"kikuchinet: error: {folder / 'b.cif'}: ")
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.h5", "c.h5"]


def test_a_simulation_that_fails_does_not_stop_the_others(simulated, tmp_path, monkeypatch):
    works = job.simulate

    def picky(crystal, **settings):
        if crystal.name == "Al":
            raise InputError("Al", "is not to my taste")
        if crystal.name == "W":
            raise ZeroDivisionError("a fault")
        return works(crystal, **settings)

    monkeypatch.setattr(job, "simulate", picky)
    result = invoke("Al", "W", "Ni", "--out", tmp_path / "out", *TINY)
    assert result.exit_code == 2
    # What is not the user's doing comes with its traceback.
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-2:] == [
        "kikuchinet: error: Al: is not to my taste",
        "kikuchinet: error: W: ZeroDivisionError: a fault",
    ]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["Ni.h5"]


def test_the_library_by_space_group():
    chosen, _ = find_crystals(["Ni"], library=True, space_group=225)
    assert {one.crystal.name for one in chosen} == {crystal.name for crystal in crystals(space_group=225)}
    everything, _ = find_crystals([], library=True)
    assert len({one.stem.casefold() for one in everything}) == len(crystals)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["cifs", "other"], "other/a.cif: its result would be called a, like that of cifs/a.cif"),
        (["cifs/a.cif", "A.cif"], "would be called A"),
        (["Ni", "Ni"], "given twice"),
        (["empty"], "empty: a folder without any CIF file"),
        (["Ni", "none.cif"], "none.cif: no such file"),
        (["--all", "Unobtainium"], "Unobtainium"),
        ([], "--all"),
        (["Ni", "--space-group", "1"], "space group 1"),
        (["Ni", "--jobs", "2", "--scheduler", "tcp://127.0.0.1:9"], "--jobs"),
        (["Ni", "--cache", "A.cif"], "A.cif: master patterns cannot be kept here"),
    ],
)
def test_what_cannot_work_is_said_before_any_work(words, part, simulated, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_cifs(Path("cifs"), a="Al")
    write_cifs(Path("other"), a="Ni")
    Path("A.cif").write_text(crystals["W"].to_cif())
    Path("empty").mkdir()
    result = invoke(*words, "--out", "out", *TINY)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert part in result.stderr
    assert simulated == []
    assert not list(Path("out").glob("*"))


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_a_killed_run_goes_on_where_it_was(tmp_path):
    environment = os.environ | {"KIKUCHINET_CACHE": str(tmp_path / "cache")}
    words = ["simulate", "Ni", "Al", "W", "--out", tmp_path / "out", *TINY, "--jobs"]
    command = [sys.executable, "-c", "from kikuchinet.cli import main; main()", *map(str, words)]
    process = subprocess.Popen(
        [*command, "2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "3 crystals: 3 to simulate\n"
    assert "(1 of 3" in process.stdout.readline()
    processes = psutil.Process(process.pid).children(recursive=True)
    assert len(processes) >= 2
    process.send_signal(signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    # Python itself may count semaphores that nobody closed.
    assert "Traceback" not in stderr
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive

    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("[!.]*.h5")}
    stored = {path: path.read_bytes() for path in cache_files(tmp_path / "cache") if path.name[0] != "."}
    assert 1 <= len(finished) < 3
    again = subprocess.run(
        [*command, "1"], capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    assert f"{len(finished)} kept" in again.stdout
    assert f"{3 - len(stored)} to simulate" in again.stdout
    assert {path.stem for path in (tmp_path / "out").glob("[!.]*.h5")} == {"Ni", "Al", "W"}
    for path, stamp in finished.items():
        assert path.stat().st_mtime_ns == stamp
    for path, content in stored.items():
        assert path.read_bytes() == content


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_ctrl_c_in_a_terminal_reaches_all_processes_and_is_one_line(tmp_path):
    command = [sys.executable, "-c", "from kikuchinet.cli import main; main()", "simulate", "Ni", "Al"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out"), "--jobs", "2", "--no-cache", *map(str, TINY)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    processes: list[psutil.Process] = []
    while (
        len(processes) < 3 and process.poll() is None
    ):  # two workers, and what Python counts semaphores with
        time.sleep(0.1)
        processes = psutil.Process(process.pid).children(recursive=True)
    # As a terminal does it: everybody in the group gets the signal, in the middle of loading.
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert stderr == "kikuchinet: interrupted\n"
    assert process.returncode == 130
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive
    assert list((tmp_path / "out").iterdir()) == []
