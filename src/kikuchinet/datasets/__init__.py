"""Labelled patterns: master patterns in many variants, endless streams, stored sets, manifests."""

from kikuchinet.datasets.generation import generate
from kikuchinet.datasets.geometry import GeometryRange, random_quaternions
from kikuchinet.datasets.labels import visible_or_literal
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.masters import MasterEntry, MasterSet, prepare
from kikuchinet.datasets.masters_config import MastersConfig
from kikuchinet.datasets.masters_plan import MasterSpec, plan
from kikuchinet.datasets.recording import Recording, Scene, record
from kikuchinet.datasets.stored import StoredPatterns
from kikuchinet.datasets.stream import (
    LabelledPatterns,
    PatternStream,
    QualityRange,
    StreamConfig,
    pattern_stream,
    windows,
)

__all__ = [
    "GeometryRange",
    "LabelledPatterns",
    "Manifest",
    "MasterEntry",
    "MasterSet",
    "MasterSpec",
    "MastersConfig",
    "PatternStream",
    "QualityRange",
    "Recording",
    "Scene",
    "StoredPatterns",
    "StreamConfig",
    "generate",
    "pattern_stream",
    "plan",
    "prepare",
    "random_quaternions",
    "record",
    "visible_or_literal",
    "windows",
]
