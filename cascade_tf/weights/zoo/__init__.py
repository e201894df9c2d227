"""The catalogue of public checkpoints, and the cache that they are downloaded to."""
