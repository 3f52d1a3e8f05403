"""The network: a ResNet backbone, the self-attention block, three transposed convolutions, a soft-argmax; its loss.

Knows tensors and their cost. Does not know images, files of samples, or how the network is trained.
"""
