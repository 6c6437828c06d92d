"""The torch solvers against a float64 eigen-solution and the compiled solvers, on every device that the machine has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import linalg
from scipy.spatial.transform import Rotation

from kikuchinet._torch import full_float32
from kikuchinet.crystal import crystals
from kikuchinet.diffraction.bloch import BeamSelection, exact_intensities
from kikuchinet.diffraction.potential import CrystalPotential, crystal_potential
from kikuchinet.diffraction.tiles import tiled_intensities
from kikuchinet.diffraction.torch_beams import DeviceTables, plan_batches, survey
from kikuchinet.diffraction.torch_depths import exponential
from kikuchinet.diffraction.torch_regions import RegionBatch
from kikuchinet.diffraction.torch_solver import _exact_batch, torch_intensities
from kikuchinet.diffraction.torch_tiles import solve_tile_batch
from kikuchinet.diffraction.torch_weak import ScatteredOn
from kikuchinet.errors import InputError

CRYSTALS = ["Ni", "W", "GaAs", "Mg", "Mo3Si", "kyanite"]
"""Light and heavy, without a centre of inversion, hexagonal, many beams, triclinic."""
SELECTION = BeamSelection(strong=3.0, weak=3.0, cutoff=40.0)
WEAK = BeamSelection(strong=2.5, weak=7.0, cutoff=40.0)
WEAK_MODULI = BeamSelection(strong=2.5, weak=7.0, cutoff=40.0, modulus_diagonal=True)
FOLDED = BeamSelection(strong=2.0, weak=25.0, cutoff=40.0, weak_cutoff=300.0)
DEPTHS = np.exp(-np.arange(21) * 0.5 / 3.0)
COUNTS = (5, 8, 3)
NO_AMPLITUDES = np.empty((0, 0), dtype=np.complex64)
"""Without them the compiled solver takes S itself for the source, as torch does, and not its expansion."""


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    # On matrices as small as these several threads would wait for each other most of the time.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield request.param
    torch.set_num_threads(threads)


def _directions() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Three tiles of different size, about two degrees wide, in mixed order, and their labels."""
    rng = np.random.default_rng(3)
    centres = Rotation.random(len(COUNTS), random_state=rng).as_matrix()[:, 0]
    tiles = rng.permutation(np.repeat([7, -2, 40], COUNTS))
    cloud = centres[np.searchsorted([-2, 7, 40], tiles)] + rng.normal(scale=0.015, size=(len(tiles), 3))
    return cloud / np.linalg.norm(cloud, axis=1, keepdims=True), tiles


def _bethe_solution(
    potential: CrystalPotential, directions: NDArray[np.float64], selection: BeamSelection
) -> NDArray[np.float64]:
    """Eigen-solution in float64 with Bethe's second-order potentials (Humphreys 1979, section 2.6), beam by beam."""
    k = 1.0 / potential.wavelength_nm
    result = []
    for direction in directions:
        total = -k * direction + potential.g
        s = (k**2 - np.sum(total**2, axis=1)) / (2.0 * np.abs(total @ direction))
        u_g = np.abs(potential.at(potential.u, potential.hkl))
        limit = np.where(u_g > 1e-4, selection.cutoff * u_g / k, selection.forbidden_s_per_nm)
        ratio = np.abs(s) * k / abs(potential.u_0)
        strong = (np.abs(s) <= limit) & (ratio <= selection.strong)
        strong[0] = True
        weak = (np.abs(s) <= limit) & (ratio <= selection.weak) & ~strong
        beams = potential.hkl[strong]
        difference = beams[:, None, :] - beams[None, :, :]
        matrix = potential.at(potential.u, difference)
        for w in np.flatnonzero(weak):
            into = potential.at(potential.u, beams - potential.hkl[w])
            out = potential.at(potential.u, potential.hkl[w] - beams)
            change = np.outer(into, out)
            if selection.modulus_diagonal:
                np.fill_diagonal(change, np.abs(into) ** 2)
            matrix -= change / (2.0 * k * s[w])
        matrix[np.diag_indices(len(beams))] += 2.0 * k * s[strong] - potential.u_0.real
        values, vectors = linalg.eig(matrix)
        excitation = linalg.solve(vectors, np.eye(len(beams))[:, 0])
        depths = np.arange(len(DEPTHS)) * 0.5
        waves = vectors @ (excitation[:, None] * np.exp(1j * np.pi / k * values[:, None] * depths))
        overlap = potential.at(potential.s, -difference)
        result.append(DEPTHS @ np.einsum("gz,gh,hz->z", waves.conj(), overlap, waves).real)
    return np.array(result)


@pytest.mark.parametrize("name", CRYSTALS)
def test_exact_agrees_with_an_eigen_solution_and_with_the_compiled_solver(
    name: str, device: str, eigen_solution: Callable[..., np.ndarray]
) -> None:
    potential = crystal_potential(crystals[name], 20.0, 0.07)
    directions, tiles = _directions()
    reference = eigen_solution(potential, directions, SELECTION, DEPTHS, 0.5)
    compiled, compiled_beams = exact_intensities(potential, directions, SELECTION, DEPTHS, 0.5)
    values, beams = torch_intensities(
        potential, directions, tiles, None, SELECTION, DEPTHS, 0.5, folded=False, device=device
    )
    assert values.dtype == np.float64
    assert beams.dtype == np.int64
    np.testing.assert_array_equal(beams, compiled_beams)
    assert np.unique(beams[:, 0]).size > 1, "nothing would be padded"
    np.testing.assert_allclose(values, reference, rtol=5e-5)
    np.testing.assert_allclose(values, compiled, rtol=1e-4)


@pytest.mark.parametrize("selection", [WEAK, WEAK_MODULI])
@pytest.mark.parametrize("name", CRYSTALS)
def test_weak_beams_enter_by_perturbation(name: str, selection: BeamSelection, device: str) -> None:
    potential = crystal_potential(crystals[name], 20.0, 0.07)
    directions, tiles = _directions()
    compiled, compiled_beams = exact_intensities(potential, directions, selection, DEPTHS, 0.5)
    assert compiled_beams[:, 1].min() < compiled_beams[:, 1].max(), "nothing would be padded"
    values, beams = torch_intensities(
        potential, directions, tiles, None, selection, DEPTHS, 0.5, folded=False, device=device
    )
    np.testing.assert_array_equal(beams, compiled_beams)
    np.testing.assert_allclose(values, _bethe_solution(potential, directions, selection), rtol=5e-5)
    np.testing.assert_allclose(values, compiled, rtol=1e-4)


@pytest.mark.parametrize("selection", [SELECTION, FOLDED])
@pytest.mark.parametrize("name", CRYSTALS)
def test_a_tile_of_one_direction_agrees_with_an_eigen_solution(
    name: str, selection: BeamSelection, device: str, folded_solution: Callable[..., float]
) -> None:
    potential = crystal_potential(crystals[name], 20.0, 0.07)
    directions, tiles = _directions()
    values, _ = torch_intensities(
        potential, directions, np.arange(len(tiles)), None, selection, DEPTHS, 0.5, folded=True, device=device
    )
    reference = [folded_solution(potential, direction, selection, DEPTHS) for direction in directions]
    np.testing.assert_allclose(values, reference, rtol=1e-4)


@pytest.mark.parametrize("selection", [SELECTION, FOLDED])
@pytest.mark.parametrize("name", CRYSTALS)
def test_tiles_agree_with_the_compiled_solver(name: str, selection: BeamSelection, device: str) -> None:
    potential = crystal_potential(crystals[name], 20.0, 0.07)
    directions, tiles = _directions()
    compiled, compiled_beams = tiled_intensities(
        potential, directions, tiles, selection, DEPTHS, 0.5, amplitudes=NO_AMPLITUDES
    )
    assert np.unique(compiled_beams[:, 0]).size > 1, "nothing would be padded"
    values, beams = torch_intensities(
        potential, directions, tiles, None, selection, DEPTHS, 0.5, folded=True, device=device
    )
    np.testing.assert_array_equal(beams, compiled_beams)
    np.testing.assert_allclose(values, compiled, rtol=1e-4)


def _patched_directions() -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Patches of one to four tiles of different sizes, in mixed order, and the labels of tiles and of patches."""
    rng = np.random.default_rng(4)
    counts = np.array([3, 4, 2, 5, 1, 4, 6, 3, 1, 4])
    patch_of = np.array([8, 8, 8, 8, -5, -5, -5, 2, 3, 3])
    centres = Rotation.random(9, random_state=rng).as_matrix()[patch_of, 0]
    centres += rng.normal(scale=0.02, size=centres.shape)
    tiles = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    cloud = centres[tiles] + rng.normal(scale=0.006, size=(len(tiles), 3))
    # Labels of tiles ascend the other way than those of patches do.
    return cloud / np.linalg.norm(cloud, axis=1, keepdims=True), 100 - 7 * tiles, patch_of[tiles]


@pytest.mark.parametrize(
    ("name", "memory_bytes", "groups"),
    [
        ("Ni", 1, 4),
        ("Ni", 2**31, 1),
        ("GaAs", 1, 4),
        ("GaAs", 10**6, 2),
        ("GaAs", 2**31, 1),
        ("Mo3Si", 1, 4),
        # Numbers of beams differ more than padding is worth.
        ("Mo3Si", 2**31, 2),
    ],
)
def test_patches_agree_with_the_compiled_solver(
    name: str, memory_bytes: int, groups: int, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    potential = crystal_potential(crystals[name], 20.0, 0.06)
    directions, tiles, patches = _patched_directions()
    compiled, compiled_beams = tiled_intensities(
        potential, directions, tiles, FOLDED, DEPTHS, 0.5, amplitudes=NO_AMPLITUDES, patches=patches
    )
    alone, _ = tiled_intensities(potential, directions, tiles, FOLDED, DEPTHS, 0.5, amplitudes=NO_AMPLITUDES)
    assert np.abs(compiled / alone - 1.0).max() > 1e-3, "patches would make no difference"
    work_out, found = ScatteredOn.of, []

    def counted(tables: DeviceTables, batch: RegionBatch, memory: int) -> ScatteredOn:
        found.append(len(batch.directions))
        return work_out(tables, batch, memory)

    monkeypatch.setattr(ScatteredOn, "of", counted)
    values, beams = torch_intensities(
        potential,
        directions,
        tiles,
        patches,
        FOLDED,
        DEPTHS,
        0.5,
        folded=True,
        device=device,
        memory_bytes=memory_bytes,
    )
    assert sum(found) == 4
    assert len(found) == groups
    np.testing.assert_array_equal(beams, compiled_beams)
    np.testing.assert_allclose(values, compiled, rtol=1e-4)


def test_the_splitting_of_tiles_is_of_second_order(
    device: str, folded_solution: Callable[..., float]
) -> None:
    """Half the step leaves a quarter of the difference from the eigen-solution with all beams of the tile."""
    potential = crystal_potential(crystals["Ni"], 20.0, 0.06)
    directions, tiles = _directions()
    directions = directions[tiles == 7]
    errors = []
    for halving in (2, 4, 8):
        weights = np.exp(-np.arange(8 * halving) / (3.0 * halving)) / halving
        values, _ = torch_intensities(
            potential,
            directions,
            np.zeros(len(directions), int),
            None,
            SELECTION,
            weights,
            1.0 / halving,
            folded=True,
            device=device,
        )
        reference = [
            folded_solution(potential, direction, SELECTION, weights, 1.0 / halving, directions)
            for direction in directions
        ]
        errors.append(np.abs(values - reference).max())
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.25)


def test_hundreds_of_steps_stay_exact(device: str, eigen_solution: Callable[..., np.ndarray]) -> None:
    potential = crystal_potential(crystals["Al"], 20.0, 0.06)
    weights = np.exp(-np.arange(261) * 0.5 / 20.0)
    directions, tiles = _directions()
    reference = eigen_solution(potential, directions, SELECTION, weights, 0.5)
    values, _ = torch_intensities(
        potential, directions, tiles, None, SELECTION, weights, 0.5, folded=False, device=device
    )
    np.testing.assert_allclose(values, reference, rtol=1e-4)


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("weights", [DEPTHS[:1], DEPTHS[:2], DEPTHS[:16], DEPTHS[:17]])
def test_any_number_of_depths(tiled: bool, weights: NDArray[np.float64], device: str) -> None:
    potential = crystal_potential(crystals["Ni"], 20.0, 0.08)
    directions, tiles = _directions()
    if tiled:
        expected, _ = tiled_intensities(potential, directions, tiles, SELECTION, weights, 0.5)
    else:
        expected, _ = exact_intensities(potential, directions, SELECTION, weights, 0.5)
    values, _ = torch_intensities(
        potential, directions, tiles, None, SELECTION, weights, 0.5, folded=tiled, device=device
    )
    np.testing.assert_allclose(values, expected, rtol=1e-4)


@pytest.mark.parametrize("tiled", [False, True])
def test_memory_changes_no_answer(tiled: bool, device: str) -> None:
    """One direction or tile at a time, padded to its own size, or all at once, padded to the largest."""
    potential = crystal_potential(crystals["Mo3Si"], 20.0, 0.07)
    directions, tiles = _directions()
    selection = FOLDED if tiled else WEAK
    results, calls = [], []
    for memory in (1, 2 * 2**30):
        fractions: list[float] = []
        results.append(
            torch_intensities(
                potential,
                directions,
                tiles,
                None,
                selection,
                DEPTHS,
                0.5,
                folded=tiled,
                device=device,
                memory_bytes=memory,
                progress=fractions.append,
            )
        )
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        calls.append(len(fractions))
    assert calls == [len(COUNTS) if tiled else sum(COUNTS), 1]
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=2e-5)
    np.testing.assert_array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("selection", [SELECTION, WEAK])
def test_padding_changes_no_answer(selection: BeamSelection, device: str) -> None:
    potential = crystal_potential(crystals["GaAs"], 20.0, 0.07)
    directions = torch.as_tensor(_directions()[0], device=device)
    tables = DeviceTables.on(torch.device(device), potential, selection, None)
    found = survey(tables, directions, None, 10**6)
    strong, weak = int(found.strong.max()), int(found.weak.max())
    results = [
        _exact_batch(tables, directions, strong + more, weak + 3 * more, DEPTHS, 0.5) for more in (0, 1, 29)
    ]
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-5, atol=0.0)


def test_padding_of_tiles_and_patches_changes_no_answer(device: str) -> None:
    potential = crystal_potential(crystals["GaAs"], 20.0, 0.07)
    directions = torch.as_tensor(_directions()[0], device=device).reshape(4, 4, 3)
    tables = DeviceTables.on(torch.device(device), potential, FOLDED, None)
    size = tables.all_excitation_errors(directions.reshape(-1, 3)).abs().reshape(4, 4, -1)
    strong = (size <= tables.strong_limit).any(dim=1)
    weak = (size[:, 0] <= tables.folded_limit) & ~strong
    assert len(set(strong.sum(dim=1).tolist())) > 1

    def padded(rows: int, weak_rows: int, repeated: int) -> RegionBatch:
        return RegionBatch(
            torch.cat([directions, directions[:, -1:].expand(-1, repeated, -1)], dim=1),
            torch.arange(4 + repeated, device=device).expand(4, -1) < 4,
            directions[:, 0],
            strong,
            weak,
            int(strong.sum(dim=1).max()) + rows,
            int(weak.sum(dim=1).max()) + weak_rows,
        )

    results = []
    for of_tiles, of_patches in (((0, 0, 0),) * 2, ((1, 7, 0), (0, 0, 0)), ((29, 0, 5), (3, 5, 7))):
        # Each tile is a patch, and they stand in the opposite order.
        patches = padded(*of_patches)
        patches = replace(
            patches,
            **{key: getattr(patches, key).flip(0) for key in ("directions", "inside", "strong", "weak")},
        )
        places = torch.arange(4, device=device).flip(0)
        tiles, scattered_on = padded(*of_tiles), ScatteredOn.of(tables, patches, 10**6)
        results.append(solve_tile_batch(tables, tiles, scattered_on, places, DEPTHS, 0.5)[:, :4])
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-5, atol=0.0)


def test_exponential_is_exact(device: str) -> None:
    rng = np.random.default_rng(5)
    hermitian = rng.normal(size=(4, 24, 24)) + 1j * rng.normal(size=(4, 24, 24))
    hermitian = 0.02 * (hermitian + hermitian.conj().transpose(0, 2, 1))
    hermitian[:, range(24), range(24)] += rng.uniform(-1.0, 1.0, (4, 24)) * [[0.0], [0.3], [3.0], [20.0]]
    exponent = torch.as_tensor(1j * hermitian).to(torch.complex64)
    expected = np.stack([linalg.expm(matrix) for matrix in exponent.to(torch.complex128).numpy()])
    result = exponential(exponent.to(device)).cpu().numpy()
    np.testing.assert_allclose(result, expected, atol=5e-6)
    zero = exponential(torch.zeros((2, 3, 3), dtype=torch.complex64, device=device)).cpu().numpy()
    np.testing.assert_array_equal(zero, np.broadcast_to(np.eye(3), (2, 3, 3)))


def test_every_problem_is_in_one_batch_that_is_large_enough_and_small_enough() -> None:
    rng = np.random.default_rng(0)
    rows, columns = rng.integers(1, 900, 400), rng.choice([1, 40, 144, 144, 144], 400)
    batches = plan_batches(rows, columns, lambda r, c: 8 * r * (r + c), 2**26)
    members = np.concatenate([batch.members for batch in batches])
    np.testing.assert_array_equal(np.sort(members), np.arange(400))
    padded = 0
    for batch in batches:
        assert rows[batch.members].max() <= batch.rows
        assert columns[batch.members].max() <= batch.columns
        assert len(batch.members) * 8 * batch.rows * (batch.rows + batch.columns) <= 2**26
        padded += len(batch.members) * batch.rows**2 * batch.columns
    assert padded < 1.4 * (rows**2 * columns).sum()
    assert len(batches) < 80


@pytest.mark.parametrize("precision", ["high", "highest"])
def test_products_are_in_full_float32_and_the_setting_is_put_back(precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with full_float32():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cuda.matmul.allow_tf32
        assert torch.get_float32_matmul_precision() == precision
        assert torch.backends.cuda.matmul.allow_tf32 == (precision == "high")
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("name", ["cuda:77", "meta", "abacus"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    potential = crystal_potential(crystals["Ni"], 20.0, 0.1)
    directions, tiles = _directions()
    with pytest.raises(InputError, match=name):
        torch_intensities(
            potential, directions, tiles, None, SELECTION, DEPTHS, 0.5, folded=True, device=name
        )


def test_the_simulator_starts_without_torch() -> None:
    code = "import sys, kikuchinet.diffraction; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
