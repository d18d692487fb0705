"""A report of stored studies: one PDF and one self-contained page."""

from hw1.analysis.report.write import default_output, write_report

__all__ = ["default_output", "write_report"]
