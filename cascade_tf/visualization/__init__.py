"""Pictures of detections, for people.

Everything is sized to the picture: lines, letters and margins look the same on a thumbnail and on a
photograph.
"""

from cascade_tf.visualization.colors import class_color
from cascade_tf.visualization.detections import draw_detections
from cascade_tf.visualization.error_pictures import draw_errors
from cascade_tf.visualization.sheet import contact_sheet

__all__ = ["class_color", "contact_sheet", "draw_detections", "draw_errors"]
