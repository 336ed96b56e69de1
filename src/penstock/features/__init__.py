"""Customer-intelligence features, one leaf each, built from operations."""
