"""Waves at all depths at once: a Chebyshev expansion of the propagator, for one direction.

The waves are ``ψ(z) = exp(iπλ A z) ψ(0)`` with the dynamical matrix A. With ``A = c + r Ã``, where the spectrum of Ã has
its real parts in [-1, 1] ([1]_),

    ``ψ(z) = exp(iπλ c z) Σ_k (2 - δ_k0) J_k(πλ r z) φ_k``,

    ``φ_0 = ψ(0)``, ``φ_1 = iÃ φ_0``, ``φ_{k+1} = 2iÃ φ_k + φ_{k-1}``.

The vectors φ_k are the same for all depths, and the coefficients are real. An expansion takes a product of the matrix with a
vector for each of about πλ r z + 25 orders; a matrix exponential takes about ten products of matrices.

Imaginary parts of the spectrum (absorption) let the φ_k grow, and a float32 sum of large terms of either sign loses
digits. So c lies amid the imaginary parts too, and the depths are divided into blocks, each of which starts from the last
wave of the one before. Where a block has lost too much, twice as many are made.

Matrices are kept by columns, the real and the imaginary part of each padded by zeros to whole vectors of the processor.

References
----------
.. [1] H. Tal-Ezer, R. Kosloff, J. Chem. Phys. 81 (1984) 3967: the expansion.
.. [2] L. Collatz, Math. Z. 48 (1942) 221; H. Wielandt, Math. Z. 52 (1950) 642: bounds of the largest eigenvalue of a
   matrix without negative elements.
.. [3] W. Gautschi, SIAM Rev. 9 (1967) 24: Bessel functions by Miller's backward recurrence.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from kikuchinet.diffraction.simd import add_product, pack

_BOUND_STEPS = 3
"""Steps of the power iteration that tightens the bounds; each costs as much as half an order and saves several."""
_MOST_DECAY = 30.0
"""Exponent πλ Im(c) z up to which a block may go: what decays less grows that much in float32."""
_EPSILON = np.float32(6e-8)
"""What float32 loses of a term."""
_MOST_LOSS = np.float32(2e-5)
"""What a block may lose, of the wave at its end."""
_HUGE, _SMALL, _TINY = np.float32(3e38), np.float32(1e-3), np.float32(1e-20)


@nb.njit(cache=True, fastmath=True, error_model="numpy")
def real_bounds(moduli, diagonal, n):
    """Bounds of the real parts of a matrix's eigenvalues, and a vector that is like the eigenvector at the upper one.

    A matrix M without negative elements has no eigenvalue beyond ``max_i (Mx)_i / x_i``, whatever the positive vector x
    ([2]_ of this module); ``x = 1`` gives Gershgorin's circles, and x ← Mx tightens them. Eigenvalues of A have no real
    parts beyond those of ``diagonal + |off-diagonal|``, nor below those of ``diagonal - |off-diagonal|``.

    Parameters
    ----------
    moduli
        |A_ij|, (n, padded) float32, zero on the diagonal and beyond column n.
    diagonal
        Real part of the diagonal, (padded,) float32.
    n
        Size of the matrix.

    Returns
    -------
    low, high
        The bounds, float32.
    vector
        x, (padded,) float32. For an attractive potential it is like the Bloch wave bound most tightly to the atoms.
    """
    padded = moduli.shape[1]
    low = diagonal[0]
    high = diagonal[0]
    for i in range(1, n):
        low = min(low, diagonal[i])
        high = max(high, diagonal[i])
    x = np.ones(padded, np.float32)
    y = np.ones(padded, np.float32)
    new_x = np.zeros(padded, np.float32)
    new_y = np.zeros(padded, np.float32)
    above = _HUGE
    below = _HUGE
    for _ in range(_BOUND_STEPS):
        top = np.float32(0.0)
        bottom = np.float32(0.0)
        for i in range(n):
            row = moduli[i]
            up = np.float32(0.0)
            down = np.float32(0.0)
            for j in range(padded):
                up += row[j] * x[j]
                down += row[j] * y[j]
            new_x[i] = up + (diagonal[i] - low) * x[i]
            new_y[i] = down + (high - diagonal[i]) * y[i]
            top = max(top, new_x[i] / x[i])
            bottom = max(bottom, new_y[i] / y[i])
        above = min(above, top)
        below = min(below, bottom)
        for i in range(n):
            # Not zero, even where nothing couples to a beam.
            x[i] = new_x[i] / (top + _TINY) + _SMALL
            y[i] = new_y[i] / (bottom + _TINY) + _SMALL
    return high - below, low + above, x


@nb.njit(cache=True)
def orders(argument):
    """Number of orders k = 0, 1, ... after which Σ 2|J_k(argument)| is below 1e-7 (measured for arguments to 3000)."""
    return int(argument + 6.0 * argument ** (1.0 / 3.0)) + 4


@nb.njit(cache=True, fastmath=True, error_model="numpy")
def bessel_coefficients(argument, decay, depths):
    """``exp(-decay·j) (2 - δ_k0) J_k(argument·j)`` for j = 1 ... `depths`, (depths, orders) float32.

    Miller's backward recurrence ([3]_ of this module). Each depth begins at the order from which on it has nothing, so no
    value overflows on the way down, and is normalised by ``J_0 + 2 Σ J_2k = 1``.
    """
    count = orders(argument * depths)
    result = np.zeros((depths, count), np.float32)
    for j in range(depths):
        row = result[j]
        begin = orders(argument * (j + 1))
        inverse = 2.0 / max(argument * (j + 1), 1e-9)
        above = 0.0
        value = 1e-10
        even = 0.0
        odd = 0.0
        for k in range(begin - 1, 0, -1):
            row[k] = value
            # Sums of every second value: the last one is of odd orders.
            even, odd = odd, even + value
            above, value = value, k * inverse * value - above
        row[0] = np.float32(0.5) * value
        factor = np.float32(2.0 * math.exp(-decay * (j + 1)) / (value + 2.0 * even))
        for k in range(begin):
            row[k] *= factor
    return result


@nb.njit(cache=True, fastmath=True, error_model="numpy")
def waves(columns, radius, centre, rate, depths):
    """Waves at the depths 0, 1, ... `depths` - 1 in units of the step, for a wave e_0 at depth 0.

    Parameters
    ----------
    columns
        i(A - c), (n, 2, padded) float32: real and imaginary part of each column.
    radius
        The real parts of the spectrum of A - c lie within ± radius.
    centre
        Imaginary part of c, which is also how far imaginary parts of the spectrum are from it. Its real part
        is a phase common to all beams, left out.
    rate
        πλ times the step.
    depths
        Number of depths.

    Returns
    -------
    numpy.ndarray
        (depths or more, 2, padded) float32: real and imaginary part of ψ at each depth. Those beyond `depths`
        carry on to the end of the last block.
    """
    n = columns.shape[0]
    packed = pack(columns)
    radius = max(radius, centre)
    steps = max(depths - 1, 1)
    blocks = _cheapest_blocks(n, rate * radius, steps, int(rate * centre * steps / _MOST_DECAY) + 1)
    while True:
        # A block is so many steps, or where even one step is too long it is one, gone in several pieces.
        length = max(steps // blocks, 1)
        pieces = max(blocks // steps, 1)
        result, loss = _in_blocks(
            packed, radius, rate * centre / pieces, rate / pieces, steps, length, pieces
        )
        if loss < _MOST_LOSS:
            return result
        blocks *= 2


@nb.njit(cache=True)
def _cheapest_blocks(n, argument, steps, least):
    """Number of blocks, `least` or more, that takes the fewest multiplications; `argument` is πλ r times the step."""
    best = least
    lowest = np.inf
    for blocks in range(least, steps + 1):
        length = (steps + blocks - 1) // blocks
        cost = blocks * orders(argument * length) * (4.0 * n + 2.0 * length)
        if cost >= lowest:
            break
        best, lowest = blocks, cost
    return best


@nb.njit(cache=True, fastmath=True, error_model="numpy")
def _in_blocks(packed, radius, decay, rate, steps, length, pieces):
    """Waves in blocks of `length` steps, each gone in `pieces`, and the largest share of a wave that a block lost."""
    padded = packed.shape[0] * packed.shape[3]
    blocks = (steps + length - 1) // length
    coefficients = bessel_coefficients(rate * radius, decay, length)
    count = coefficients.shape[1]
    # Coefficients fall off beyond the argument, terms may grow.
    last = min(int(rate * radius * length), count - 1)
    phi = np.empty((count, 2, padded), np.float32)
    terms = phi.reshape(count, 2 * padded)
    result = np.empty((1 + blocks * length, 2, padded), np.float32)
    sums = result.reshape(1 + blocks * length, 2 * padded)
    sums[0] = np.float32(0.0)
    sums[0, 0] = np.float32(1.0)
    # The largest terms, as they enter the wave at the end, lose digits; the last one shows what is left out.
    rounded = _EPSILON * np.float32(math.exp(-decay * length))
    omitted = abs(coefficients[length - 1, count - 1])
    loss = np.float32(0.0)
    for block in range(blocks):
        done = block * length
        terms[0] = sums[done]
        for _ in range(pieces):
            _recur(packed, np.float32(1.0 / radius), phi)
            np.dot(coefficients, terms, sums[done + 1 : done + 1 + length])
            lost = np.float32(0.0)
            total = np.float32(0.0)
            for j in range(2 * padded):
                lost = max(lost, rounded * abs(terms[last, j]), omitted * abs(terms[count - 1, j]))
                total = max(total, abs(sums[done + length, j]))
            loss = max(loss, lost / (total + _TINY))
            terms[0] = sums[done + length]
        if loss >= _MOST_LOSS:
            break
    return result, loss


@nb.njit(cache=True)
def _recur(packed, scale, phi):
    """Fill in φ_1, φ_2, ... after φ_0, (orders, 2, padded) float32."""
    add_product(packed, phi[0], phi[0], np.float32(0.0), scale, phi[1])
    for k in range(2, phi.shape[0]):
        add_product(packed, phi[k - 1], phi[k - 2], np.float32(1.0), np.float32(2.0) * scale, phi[k])
