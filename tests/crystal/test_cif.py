"""CIF in and out, the good and the bad."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest
