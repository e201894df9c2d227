"""A run on one page: ``write_report`` makes a single HTML file that needs nothing else."""

from cascade_tf.report.page import write_report

__all__ = ["write_report"]
