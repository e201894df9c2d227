"""A data set looked at before anything is learnt from it: what is in it, what is broken, what is odd."""
