"""A report of stored studies: one PDF and one self-contained page."""

from hw1.analysis.report.write import write_report

__all__ = ["write_report"]
