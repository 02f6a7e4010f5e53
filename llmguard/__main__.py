"""`python -m llmguard`."""

from llmguard.cli.main import app

if __name__ == "__main__":
    app(prog_name="llmguard")
