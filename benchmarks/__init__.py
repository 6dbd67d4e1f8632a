"""What things cost here, as ratios measured in one run."""
