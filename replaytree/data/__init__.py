"""Image data sets as uint8 tensors in memory: named ones and folders."""
