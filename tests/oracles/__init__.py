"""What judges results: one device, XLA, trying everything."""
