"""How sharp a pattern is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fft2

from kikuchinet.errors import InputError


def quality(images: NDArray[np.generic] | Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    """Return the image quality of patterns.

    Parameters
    ----------
    images
        (n, rows, columns), one image (rows, columns), or a sequence of images of unequal shapes.

    Returns
    -------
    numpy.ndarray
        float64 (n,). About 0 for noise, towards 1 where the power lies at low frequencies; 0 for a blank image.

    Raises
    ------
    InputError
        If an image does not have rows and columns.

    Notes
    -----
    Krieger Lassen's measure [1]_ with kikuchipy's weights: 1 - I / I_max, where I is the mean of w(k) = kx² + ky² - 1
    weighted with the spectrum's magnitude, I_max its plain mean, and the frequencies are counted from 1 upwards in the
    positive half and from -1 downwards in the negative one.

    References
    ----------
    .. [1] N. C. Krieger Lassen, Automated Determination of Crystal Orientations from Electron Backscattering
       Patterns, PhD thesis, Technical University of Denmark (1994).
    """
    if isinstance(images, np.ndarray) and images.ndim == 2:
        images = images[None]
    values = np.zeros(len(images))
    for k, image in enumerate(images):
        pattern = np.asarray(image, dtype=np.float32)
        if pattern.ndim != 2:
            raise InputError(f"pattern {k}", f"shape {pattern.shape}; an image has rows and columns")
        spread = float(pattern.std())
        if not spread > 1e-6 * float(np.abs(pattern).max(initial=0.0)):
            continue
        spectrum = np.abs(fft2((pattern - pattern.mean()) / spread))
        weights = _weights(pattern.shape[0])[:, None] + _weights(pattern.shape[1])[None] - 1.0
        inertia = float((spectrum * weights).sum() / spectrum.sum())
        values[k] = 1.0 - inertia / float(weights.mean())
    return values


def _weights(size: int) -> NDArray[np.float64]:
    """Return squared frequencies of one axis in the FFT's order."""
    frequency = np.arange(1, size + 1, dtype=np.float64)
    frequency[size // 2 :] -= size + 1.0
    return np.square(frequency)
