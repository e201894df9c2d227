"""Prediction for millions of pictures on an engine of Apache Beam; only `pipeline` needs Beam itself."""
