"""The microscope: detector geometry, projection of a master pattern, and the camera."""

from kikuchinet.microscope.detector import Detector
from kikuchinet.microscope.projection import interleave, project, project_batch

__all__ = ["Detector", "interleave", "project", "project_batch"]
