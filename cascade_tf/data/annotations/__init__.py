"""The records of an annotation file in COCO's "instances" format: images, objects, masks, categories."""
