"""What a model server takes: a detector in, a SavedModel and the files beside its graph out."""
