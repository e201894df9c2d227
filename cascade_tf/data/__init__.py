"""Data sets: readers (`coco`), batches for training and evaluation (`pipeline`) and drawn scenes (`synthetic`)."""
