"""What decides a run, and the files that hold a detector with it: text and files in, detectors out."""
