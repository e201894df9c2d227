"""Detections of a data set in memory measured by the data set's own benchmark, one file for each protocol."""
