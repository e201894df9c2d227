"""Where annotations come from: one file for each layout in which data sets are distributed."""
