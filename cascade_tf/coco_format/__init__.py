"""COCO's "instances" format: its files, and the forms in which labelling tools write its records.

For readers of data and for metrics alike: plain values, no arrays and no pictures.
"""
