"""llmguard: the guard in front of model endpoints that are served to strangers."""
