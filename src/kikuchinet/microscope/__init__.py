"""The microscope: detector geometry, projection of a master pattern, and the camera."""

from kikuchinet.microscope.camera import Camera
from kikuchinet.microscope.camera_range import CameraRange
from kikuchinet.microscope.detector import Detector
from kikuchinet.microscope.projection import interleave, project, project_batch

__all__ = ["Camera", "CameraRange", "Detector", "interleave", "project", "project_batch"]
