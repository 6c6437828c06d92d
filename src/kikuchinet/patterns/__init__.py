"""Measured patterns: reading them, their quality, and what is done to every pattern before a network sees it."""

from kikuchinet.patterns.geometry import Geometry
from kikuchinet.patterns.grain_list import read_grain_list
from kikuchinet.patterns.image_files import IMAGE_EXTENSIONS, ColourWarning
from kikuchinet.patterns.preprocessing import Preprocessing, preprocess
from kikuchinet.patterns.quality import quality
from kikuchinet.patterns.reading import VENDOR_EXTENSIONS, example_patterns, open_patterns, read_patterns
from kikuchinet.patterns.screen import screen_mask
from kikuchinet.patterns.selection import Region, select
from kikuchinet.patterns.source import PatternSource

__all__ = [
    "IMAGE_EXTENSIONS",
    "VENDOR_EXTENSIONS",
    "ColourWarning",
    "Geometry",
    "PatternSource",
    "Preprocessing",
    "Region",
    "example_patterns",
    "open_patterns",
    "preprocess",
    "quality",
    "read_grain_list",
    "read_patterns",
    "screen_mask",
    "select",
]
