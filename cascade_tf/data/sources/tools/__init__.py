"""Layouts of labelling tools that are not COCO's: one file for each."""
