"""Waves in depth, for whole batches on a torch device: the matrix of a step, and the intensity summed over depths.

References
----------
.. [1] N. J. Higham, SIAM J. Matrix Anal. Appl. 26 (2005) 1179: scaling and squaring of the matrix exponential.
.. [2] M. S. Paterson, L. J. Stockmeyer, SIAM J. Comput. 2 (1973) 60: few products for a polynomial of a matrix.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

BLOCK = 16
"""Depths that `depth_sums` propagates at once: with fewer each product is a read of the matrix, with more the powers of
the matrix cost more than they save."""
_TAYLOR_NORM = 0.6
"""Largest norm of an exponent for the Taylor polynomial of degree 8, whose remainder is then 0.6^9 / 9! = 3e-8."""


def exponential(exponent: torch.Tensor) -> torch.Tensor:
    """exp(X) of matrices (b, n, n) complex64 [1]_: a Taylor polynomial by four products [2]_, then squarings.

    What is squared is D = exp(X) - 1, by (1 + D)² - 1 = 2D + D²: the small elements that carry the scattering are not
    rounded beside the 1 of the diagonal. Against float64 the error is a third of that of squaring exp(X) itself.
    """
    # The 2-norm is at most the geometric mean of the 1-norm and the ∞-norm. Here the host waits for the device.
    size = exponent.abs()
    norm = float((size.sum(dim=1).amax() * size.sum(dim=2).amax()).sqrt())
    squarings = max(0, math.ceil(math.log2(norm / _TAYLOR_NORM))) if norm > 0.0 else 0
    x = exponent * 0.5**squarings
    x2 = torch.bmm(x, x)
    x3 = torch.bmm(x2, x)
    x4 = torch.bmm(x2, x2)
    high = (x / 120).add_(x2, alpha=1 / 720).add_(x3, alpha=1 / 5040).add_(x4, alpha=1 / 40320)
    high.diagonal(dim1=1, dim2=2).add_(1 / 24)
    d = x.add_(x2, alpha=1 / 2).add_(x3, alpha=1 / 6)
    d = torch.baddbmm(d, x4, high)
    for _ in range(squarings):
        d = torch.baddbmm(d, d, d, beta=2)
    d.diagonal(dim1=1, dim2=2).add_(1.0)
    return d


def depth_sums(step: torch.Tensor, source: torch.Tensor, weights: NDArray[np.float64]) -> torch.Tensor:
    """Σ_k w_k ψ_k† S ψ_k with ψ_0 = e_0 and ψ_k = E ψ_{k-1}, one direction for each matrix.

    Parameters
    ----------
    step, source
        E and S, (b, n, n) complex64.
    weights
        (depths,).

    Returns
    -------
    torch.Tensor
        (b,) float64.
    """
    waves = torch.zeros_like(step[:, :, :1])
    waves[:, 0] = 1.0
    while waves.shape[2] < min(BLOCK, len(weights)):
        waves = torch.cat([waves, torch.bmm(step, waves)], dim=2)
        step = torch.bmm(step, step)
    block = waves.shape[2]
    padded = np.zeros(-(-len(weights) // block) * block)
    padded[: len(weights)] = weights
    shares = torch.as_tensor(padded, device=step.device).reshape(-1, block)
    total = torch.zeros(len(step), dtype=torch.float64, device=step.device)
    for number, share in enumerate(shares):
        if number > 0:
            waves = torch.bmm(step, waves)
        overlaps = _real_products(waves, torch.bmm(source, waves)).sum(dim=1)
        total += overlaps.reshape(len(step), block, 2).sum(dim=2).to(torch.float64) @ share
    return total


def split_depth_sums(
    step: torch.Tensor, source: torch.Tensor, half: torch.Tensor, weights: NDArray[np.float64]
) -> torch.Tensor:
    """Σ_k w_k ψ_k† S ψ_k with ψ_0 = e_0 and ψ_k = φ ∘ E (φ ∘ ψ_{k-1}), many directions for each matrix.

    Parameters
    ----------
    step, source
        E and S, (t, n, n) complex64.
    half
        φ, the phases of half a step, (t, n, m) complex64.
    weights
        (depths,).

    Returns
    -------
    torch.Tensor
        (t, m) float64.
    """
    tiles, _, columns = half.shape
    full = torch.square(half)
    waves = torch.zeros_like(half)
    waves[:, 0] = half[:, 0]
    scattered, overlaps = torch.empty_like(half), torch.empty_like(half)
    # Real and imaginary parts are summed apart, side by side, and brought together at the end.
    total = torch.zeros((tiles, 2 * columns), dtype=torch.float64, device=half.device)
    for weight in weights[1:].tolist():
        torch.bmm(step, waves, out=scattered)
        torch.mul(scattered, full, out=waves)
        # `scattered` is half a step of phases before the sample.
        scattered *= half
        torch.bmm(source, scattered, out=overlaps)
        total.add_(_real_products(scattered, overlaps).sum(dim=1), alpha=weight)
    at_entrance = source[:, 0, 0].real.to(torch.float64) * float(weights[0])
    return total.reshape(tiles, columns, 2).sum(dim=2) + at_entrance[:, None]


def _real_products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Re a · Re b and Im a · Im b side by side, (t, n, 2m) float32, in the memory of `b`; their sum is Re(a* b)."""
    flat = torch.view_as_real(b).flatten(2)
    return flat.mul_(torch.view_as_real(a).flatten(2))
