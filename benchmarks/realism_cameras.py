"""The cameras of benchmarks/realism.py, one for each measured set."""

from __future__ import annotations

from dataclasses import replace

from kikuchinet.microscope import Camera

#: As benchmarks/realism_fit.py fits them to the patterns that were looked at.
CAMERAS = {
    # At 60 px noise and fine detail look alike in a spectrum: compression, blur, dose and the noise's correlation are the
    # best of a grid by spectrum, noise, its correlation and the percentiles together.
    "Ni": Camera(
        contrast=0.0165,
        source_center=(0.4, 0.462),
        source_width=0.442,
        vignette=0.0,
        compression=0.12,
        excess_deficiency=0.31,
        excess_width=0.043,
        beam_center=(0.5, 10.0),
        contrast_center=(0.455, 0.362),
        contrast_width=0.348,
        psf_sigma_px=0.6,
        dose_electrons_per_px=4000.0,
        read_noise_electrons=0.0,
        noise_sigma_px=0.3,
        flat_fielded=False,
        clip_fraction=0.0,
    ),
    "Si": Camera(
        contrast=0.014,
        source_center=(0.514, 0.475),
        source_width=0.3,
        vignette=0.0,
        compression=0.25,
        excess_deficiency=0.35,
        excess_width=0.019,
        beam_center=(0.5, 10.0),
        contrast_center=(0.516, 0.289),
        contrast_width=0.368,
        psf_sigma_px=1.32,
        dose_electrons_per_px=3977.0,
        read_noise_electrons=0.0,
        noise_sigma_px=0.19,
        flat_fielded=False,
        clip_fraction=0.0,
        screen_radius=0.5,
    ),
    # Grey levels of processed frames are relative: contrast is set to a usual value, and the dose follows.
    "steel": Camera(
        contrast=0.06,
        source_center=(0.508, 0.647),
        source_width=0.487,
        vignette=0.0,
        compression=0.11,
        excess_deficiency=0.26,
        excess_width=0.038,
        beam_center=(0.5, 9.98),
        contrast_center=(0.5, 0.506),
        contrast_width=0.332,
        psf_sigma_px=1.15,
        glare=0.58,
        glare_width=0.0144,
        dose_electrons_per_px=3758.0,
        read_noise_electrons=0.0,
        noise_sigma_px=0.19,
        static_operation="subtract",
        clip_fraction=0.0,
        screen_radius=0.5,
        surround="grey",
    ),
}
#: Blur in px where the point spread has one part only: the fit of benchmarks/realism_fit.py without the wide part.
_OLD_BLUR = {"Ni": 0.6, "Si": 1.32, "steel": 2.26}


def old_camera(name: str) -> Camera:
    """Return a set's camera as it could be before this comparison.

    Same light, noise and mean contrast, but a background that is always divided out, contrast that is the same everywhere,
    a point spread of one Gaussian, and the defaults of compression and asymmetry.
    """
    default = Camera()
    return replace(
        CAMERAS[name],
        static_operation="divide",
        contrast_width=0.0,
        glare=0.0,
        psf_sigma_px=_OLD_BLUR[name],
        compression=default.compression,
        excess_deficiency=default.excess_deficiency,
        excess_width=default.excess_width,
        beam_center=default.beam_center,
    )
