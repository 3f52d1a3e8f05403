"""The figures of the paper's tables, from arrays and nothing else: MPJPE, PCKh, COCO's keypoint AP."""
