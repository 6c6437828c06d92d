"""The Chebyshev expansion of the propagator: its bounds, coefficients, products and waves against SciPy."""

from __future__ import annotations

import numba as nb
import numpy as np
import pytest
from scipy import linalg, special

from kikuchinet.crystal import crystals
from kikuchinet.diffraction.bloch import BeamSelection, exact_intensities
from kikuchinet.diffraction.chebyshev import bessel_coefficients, orders, real_bounds, waves
from kikuchinet.diffraction.potential import crystal_potential
from kikuchinet.diffraction.simd import LANES, add_product, pack


@nb.njit
def _subtract_twice(packed, vector, result):
    """result / 2 - 2 · matrix @ vector, in place."""
    add_product(packed, vector, result, np.float32(0.5), np.float32(-2.0), result)


def _columns(matrix: np.ndarray) -> np.ndarray:
    """Columns of a matrix, real and imaginary part, padded as compiled code wants them."""
    n = len(matrix)
    columns = np.zeros((n, 2, -(-n // LANES) * LANES), np.float32)
    columns[:, 0, :n], columns[:, 1, :n] = matrix.T.real, matrix.T.imag
    return columns


def _absorbing(n: int, absorption: float, seed: int = 0) -> np.ndarray:
    """A Hermitian matrix plus i times a positive one, whose largest eigenvalue is `absorption`."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n, n))
    hermitian = (a + a.T) / 2.0 + 1j * (b - b.T) / 2.0
    # As in a crystal: few waves are absorbed much.
    tall = rng.normal(size=(n, max(n // 6, 1))) + 1j * rng.normal(size=(n, max(n // 6, 1)))
    positive = tall @ tall.conj().T
    return hermitian + 1j * absorption * positive / np.linalg.norm(positive, 2)


@pytest.mark.parametrize("argument", [1e-9, 0.01, 0.9, 4.5, 30.0])
@pytest.mark.parametrize("depths", [1, 10, 80, 260])
def test_bessel_functions(argument: float, depths: int) -> None:
    found = bessel_coefficients(argument, 0.03, depths)
    j, k = np.arange(1, depths + 1)[:, None], np.arange(found.shape[1])
    expected = np.where(k == 0, 1.0, 2.0) * np.exp(-0.03 * j) * special.jv(k, argument * j)
    np.testing.assert_allclose(found, expected, atol=2e-7)
    assert found.shape[1] == orders(argument * depths)


def test_no_order_that_counts_is_left_out() -> None:
    for argument in np.concatenate([[0.0], np.geomspace(1e-6, 2000.0, 300)]):
        left = 2.0 * np.abs(special.jv(np.arange(orders(argument), orders(argument) + 200), argument))
        assert left.sum() < 1e-7


@pytest.mark.parametrize("n", [1, 2, 15, 16, 33])
def test_bounds_hold_the_spectrum_and_are_tighter_than_circles(n: int) -> None:
    for seed in range(20):
        matrix = _absorbing(n, 0.3, seed)
        # Beams that couple to nothing, and wide diagonals, are cases of their own.
        if seed % 4 == 1 and n > 2:
            matrix[-1, :-1] = matrix[:-1, -1] = 0.0
        matrix += np.diag(np.linspace(-1.0, 1.0, n) * (seed % 3) * n)
        moduli = np.abs(matrix)
        np.fill_diagonal(moduli, 0.0)
        padded = np.zeros((n, -(-n // LANES) * LANES), np.float32)
        padded[:, :n] = moduli
        diagonal = np.zeros(padded.shape[1], np.float32)
        diagonal[:n] = matrix.diagonal().real
        low, high, vector = real_bounds(padded, diagonal, n)
        values = np.linalg.eigvals(matrix).real
        slack = 1e-5 * (1.0 + np.abs(values).max())
        assert low <= values.min() + slack
        assert high >= values.max() - slack
        circles = diagonal[:n] - moduli.sum(1), diagonal[:n] + moduli.sum(1)
        assert circles[0].min() - slack <= low
        assert high <= circles[1].max() + slack
        assert (vector[:n] > 0.0).all()


@pytest.mark.parametrize("n", [1, 7, 16, 50])
@pytest.mark.parametrize("columns", [1, 20, 70])
def test_products(n: int, columns: int) -> None:
    rng = np.random.default_rng(n)
    shape = columns, 2, -(-n // LANES) * LANES
    packed = np.zeros(shape, np.float32)
    packed[:, :, :n] = rng.normal(size=(columns, 2, n))
    vector, before = rng.normal(size=(2, columns)).astype(np.float32), np.ones(shape[1:], np.float32)
    matrix = packed[:, 0].T + 1j * packed[:, 1].T
    expected = 0.5 * (1.0 + 1.0j) - 2.0 * matrix @ (vector[0] + 1j * vector[1])
    _subtract_twice(pack(packed), vector, before)
    np.testing.assert_allclose(before[0] + 1j * before[1], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("n", "absorption", "rate", "depths"),
    [
        (1, 0.5, 0.3, 5),
        (14, 0.5, 0.3, 1),
        (18, 0.5, 0.3, 12),
        (40, 1.0, 0.4, 80),
        # Blocks, and blocks shorter than a step: terms grow by e^100 and e^40 where there are none.
        (40, 30.0, 0.1, 80),
        (30, 30.0, 3.0, 4),
    ],
)
def test_waves(n: int, absorption: float, rate: float, depths: int) -> None:
    matrix = _absorbing(n, absorption)
    values = np.linalg.eigvalsh((matrix + matrix.conj().T) / 2.0)
    middle, radius = 0.5 * (values[0] + values[-1]), 1.05 * max(0.5 * (values[-1] - values[0]), 1e-3)
    shifted = 1j * (matrix - (middle + 0.5j * absorption) * np.eye(n))
    found = waves(_columns(shifted), np.float32(radius), np.float32(0.5 * absorption), rate, depths)
    step = linalg.expm(1j * rate * (matrix - middle * np.eye(n)))
    expected = np.eye(n)[0].astype(complex)
    for wave in found[:depths]:
        np.testing.assert_allclose(wave[0, :n] + 1j * wave[1, :n], expected, atol=2e-5)
        assert not wave[:, n:].any()
        expected = step @ expected


def test_steps_of_depth_may_be_long() -> None:
    """A step in which tungsten absorbs everything but the best channelled waves."""
    potential = crystal_potential(crystals["W"], 20.0, 0.06)
    directions = np.array([[0.1, 0.2, 1.0], [0.7, 0.1, 0.7]])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    selection = BeamSelection(strong=6.0, weak=6.0, cutoff=100.0)
    fine = np.zeros(81)
    fine[::20] = [1.0, 2.0, 3.0, 2.0, 1.0]
    expected, _ = exact_intensities(potential, directions, selection, fine, 0.5)
    coarse, _ = exact_intensities(potential, directions, selection, fine[::20], 10.0)
    np.testing.assert_allclose(coarse, expected, rtol=1e-4)
