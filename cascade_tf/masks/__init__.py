"""Instance masks: pixels, cells of a box and run lengths, and how to draw them."""
