"""What is made of the evidence against a stream of prompts: where a principal stands, and what it meets for it."""
