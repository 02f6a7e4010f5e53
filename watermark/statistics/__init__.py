"""From scores to evidence: exact tails in log space, and the corrections that keep a p-value honest. Pure."""
