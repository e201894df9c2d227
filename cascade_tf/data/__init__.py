"""Data sets: readers (`coco`), batches (`pipeline`) and drawn scenes (`synthetic`)."""
