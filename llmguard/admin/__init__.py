"""What is not on the hot path: health, metrics, documentation, the operator's API."""
