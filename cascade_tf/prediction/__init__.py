"""A detector on images: pictures and files in, detections in their pixels out."""
