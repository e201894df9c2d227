"""Training: settings, learning-rate schedule, optimizer, update step, checkpoints and the loop around them.

Import the modules themselves (``from cascade_tf.training.loop import Trainer``): ``settings`` alone needs no
TensorFlow, so that a configuration is read without starting it.
"""
