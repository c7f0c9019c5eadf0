"""The cache as training reads it: batches of (clean, noisy) pairs, from the device or from a stream.

PairReader           every pair once per epoch, in an order drawn from the seed, resumable at any batch
├── ResidentPairs    the whole cache on the device
└── StreamedPairs    a window of it in memory, the rest on disk
"""
