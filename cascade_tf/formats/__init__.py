"""Annotations and detections in the files of benchmarks, for data and metrics. Reading gives plain arrays."""
