"""Readers of checkpoint files from strangers: arrays and plain values, and nothing else."""
