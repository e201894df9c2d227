"""Detections as the files that benchmarks' servers take, one file here for each benchmark."""
