"""What a trained detector does to a data set, beyond its AP. Import the modules themselves."""
