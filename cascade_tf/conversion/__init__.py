"""Data sets written in other layouts than the one that they were read from.

Pictures are not written anew: the new folder has links to them, or copies.
"""

from cascade_tf.conversion.layouts import LAYOUTS, convert

__all__ = ["LAYOUTS", "convert"]
