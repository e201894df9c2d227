"""Data sets in TFRecord shards: what their files are called and hold, and pictures within them."""
