"""The network: a ResNet backbone, the self-attention block, three transposed convolutions and a soft-argmax."""
