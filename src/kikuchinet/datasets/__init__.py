"""Labelled patterns: master patterns in many variants, endless streams, stored sets, manifests."""

from kikuchinet.datasets.generation import generate
from kikuchinet.datasets.geometry import GeometryRange, random_quaternions
from kikuchinet.datasets.labels import visible_or_literal
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.masters import MasterEntry, MastersConfig, MasterSet, MasterSpec, plan, prepare
from kikuchinet.datasets.recording import Recording, record
from kikuchinet.datasets.stored import StoredPatterns
from kikuchinet.datasets.stream import LabelledPatterns, PatternStream, QualityRange, StreamConfig, windows

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
    "StoredPatterns",
    "StreamConfig",
    "generate",
    "plan",
    "prepare",
    "random_quaternions",
    "record",
    "visible_or_literal",
    "windows",
]
