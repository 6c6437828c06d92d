"""The microscope: detector geometry, projection of a master pattern, and the camera."""

from kikuchinet.microscope.camera import Camera
from kikuchinet.microscope.camera_range import CameraRange
from kikuchinet.microscope.detector import Detector
from kikuchinet.microscope.instruments import INSTRUMENTS, Instrument, instrument
from kikuchinet.microscope.projection import interleave, pixel_directions, project, project_batch

__all__ = [
    "INSTRUMENTS",
    "Camera",
    "CameraRange",
    "Detector",
    "Instrument",
    "instrument",
    "interleave",
    "pixel_directions",
    "project",
    "project_batch",
]
