"""Grain boundaries in a block of patterns, on the processor and on a device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kikuchinet.datasets import PatternStream, StreamConfig, pattern_stream
from kikuchinet.datasets.geometry import GeometryRange
from kikuchinet.datasets.recording import draw, record, record_scene
from kikuchinet.microscope import CameraRange, project_batch
from kikuchinet.microscope.grid import standardise

SHAPE = (48, 48)
CLEAN = CameraRange(
    noise_to_signal=(1e-3, 1e-3),
    compression=(0.0, 0.0),
    excess_deficiency=(0.0, 0.0),
    psf_sigma=(1e-4, 1e-4),
    uneven=(0.0, 0.0),
    coarse=0.0,
    raw=0.0,
    dynamic=0.0,
    round_screen=0.0,
    shadowed=0.0,
    dusty=0.0,
    gain_error=(0.0, 0.0),
    gamma=(1.0, 1.0),
    clip_fraction=(0.0, 0.0),
    energy_rise=(0.0, 0.0),
    glare=(0.0, 0.0),
    noise_sigma_px=(0.0, 0.0),
    drifted=0.0,
    subtracted=0.0,
    equalised=0.0,
    **dict.fromkeys(("amorphous", "unfocused", "cropped", "saturated", "broken", "written"), 0.0),
)


def scene(cameras: CameraRange, seed: int = 0, quality: float = 0.0):
    rng = np.random.default_rng(seed)
    return draw(
        1, 40, SHAPE, geometry=GeometryRange(), cameras=cameras, quality=quality, rng=rng, neighbours=3
    )


def test_shares_and_phases_are_drawn_as_asked():
    scenes = [scene(replace(CLEAN, overlapped=0.3), seed) for seed in range(60)]
    shares = np.concatenate([each.overlaps for each in scenes])
    assert (shares > 0).mean() == pytest.approx(0.3, abs=0.03)
    drawn = shares[shares > 0]
    assert 0.1 <= drawn.min() < 0.12 < 0.43 < drawn.max() <= 0.45
    # Half stay within the phase; of the rest a third is the same by chance.
    assert np.mean([each.second_master == 1 for each in scenes]) == pytest.approx(2 / 3, abs=0.2)
    assert {each.second_master for each in scenes} == {0, 1, 2}
    assert not scene(replace(CLEAN, overlapped=0.3), quality=1.0).overlaps.any()


def test_boundaries_move_nothing_else():
    """Without them a seed gives the patterns that it gave with them switched off."""
    on, off = scene(replace(CLEAN, overlapped=0.5)), scene(replace(CLEAN, overlapped=0.0))
    assert on.camera == off.camera
    np.testing.assert_array_equal(on.quaternions, off.quaternions)
    assert on.overlaps.any()
    assert not off.overlaps.any()


def test_a_pattern_is_the_sum_of_both_grains(masters):
    cameras = replace(CLEAN, overlapped=0.5)
    drawn = scene(cameras, 4)
    recording = record_scene(masters, drawn, SHAPE, np.random.default_rng(1))
    np.testing.assert_array_equal(recording.overlaps, drawn.overlaps)
    grains = []
    for master, quaternions in (
        (drawn.master, drawn.quaternions),
        (drawn.second_master, drawn.second_quaternions),
    ):
        upper, lower, texels = masters.hemispheres(master)
        grains.append(
            project_batch(
                upper,
                lower,
                quaternions,
                drawn.pattern_centers,
                SHAPE,
                sample_tilt_deg=drawn.sample_tilt_deg,
                tilt_deg=drawn.detector_tilt_deg,
                azimuthal_deg=drawn.azimuthal_deg,
                texels=texels,
            )
        )
    first, second = (standardise(images).reshape(40, -1) for images in grains)
    seen = standardise(recording.images).reshape(40, -1)
    for k, share in enumerate(drawn.overlaps):
        a, b = np.linalg.lstsq(np.stack([first[k], second[k]], axis=1), seen[k], rcond=None)[0]
        assert b / (a + b) == pytest.approx(share, abs=0.02)


def test_the_device_shows_the_same_boundaries(masters):
    classes = (225, 227, 229)
    config = StreamConfig(seed=5, block=6, blocks_per_window=12, cameras=("good",))
    streams: list[PatternStream] = [
        pattern_stream(masters, classes, replace(config, device=device), size=(48, 48))
        for device in ("", "cpu")
    ]
    for stream in streams:
        stream._cameras = (replace(CLEAN, overlapped=0.7),)
    for number in range(4):
        compiled, found = (stream.block(0, number, number % 3) for stream in streams)
        assert (compiled.overlaps > 0).any()
        np.testing.assert_array_equal(compiled.overlaps, found.overlaps)
        assert np.abs(found.images - compiled.images).max() <= 2


def test_same_seed_same_patterns(masters):
    def again():
        return record(
            masters,
            0,
            6,
            SHAPE,
            geometry=GeometryRange(),
            cameras=CameraRange.poor(),
            quality=0.0,
            rng=np.random.default_rng(9),
        )

    assert again().images.tobytes() == again().images.tobytes()


def test_a_camera_can_be_drawn_apart_from_what_it_records():
    def scene(master, seed, camera_seed):
        return draw(
            master,
            4,
            SHAPE,
            geometry=GeometryRange(),
            cameras=CameraRange(),
            quality=0.3,
            rng=np.random.default_rng(seed),
            camera_rng=None if camera_seed is None else np.random.default_rng(camera_seed),
        )

    first, second, other, alone = (scene(*given) for given in ((0, 1, 5), (1, 2, 5), (0, 1, 6), (0, 1, None)))
    assert first.camera == second.camera
    assert first.camera not in (other.camera, alone.camera)
    assert not np.allclose(first.quaternions, second.quaternions)
    np.testing.assert_array_equal(first.quaternions, other.quaternions)
