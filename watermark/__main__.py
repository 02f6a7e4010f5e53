"""`python -m watermark`."""

from watermark.cli.main import app

if __name__ == "__main__":
    app(prog_name="watermark")
