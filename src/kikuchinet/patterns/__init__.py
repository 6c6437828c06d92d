"""Measured patterns: reading them, and what is done to every pattern before a network sees it."""

from kikuchinet.patterns.preprocessing import Preprocessing, preprocess
from kikuchinet.patterns.screen import screen_mask

__all__ = ["Preprocessing", "preprocess", "screen_mask"]
