"""Speed, measured as ratios of medians of interleaved rounds."""
