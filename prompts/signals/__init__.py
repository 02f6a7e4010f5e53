"""What is looked for in a principal's prompts, one signal a module."""
