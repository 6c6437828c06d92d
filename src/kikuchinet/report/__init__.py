"""The HTML report: the answer in words, and everything needed to doubt it."""

from kikuchinet.report.page import write_report

__all__ = ["write_report"]
