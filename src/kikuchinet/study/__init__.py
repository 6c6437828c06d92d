"""The experiments of Kaufmann et al. (2020), end to end."""

from kikuchinet.study.protocol import EXPERIMENTS, Experiment, find_experiment
from kikuchinet.study.run import ExperimentResult, run_experiment
from kikuchinet.study.settings import CPU_SIZE, PAPER_SIZE, QUICK, StudySettings
from kikuchinet.study.study import run_study

__all__ = [
    "CPU_SIZE",
    "EXPERIMENTS",
    "PAPER_SIZE",
    "QUICK",
    "Experiment",
    "ExperimentResult",
    "StudySettings",
    "find_experiment",
    "run_experiment",
    "run_study",
]
