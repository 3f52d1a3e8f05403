"""The figures of the paper's tables: MPJPE, PCKh, COCO's keypoint AP, each with the protocol by which it was measured.

Knows arrays of poses and the files that people keep them in. Does not know networks, crops or runs.
"""
