"""The process that reads one file: `python -m similarity.extraction.child FORMAT BYTES SECONDS CHARACTERS`.

The file comes on stdin; its text goes to stdout as UTF-8. Exit status 0: the text; 3: a reason instead.
Memory and processor time are bounded by the kernel before the first byte is read.
"""

import logging
import resource
import sys

from similarity.extraction.formats import FORMATS, Unreadable


def main(arguments: list[str]) -> int:
    """Reads one file within its bounds."""
    kind, memory, seconds, characters = arguments[0], *map(int, arguments[1:])
    logging.disable()
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        text = FORMATS[kind](sys.stdin.buffer.read())
        if len(text) > characters:
            raise Unreadable("the file holds more text than is taken")
        status, said = 0, text
    except MemoryError:
        status, said = 3, "the file takes too much memory to read"
    except Unreadable as error:
        status, said = 3, str(error)
    sys.stdout.buffer.write(said.encode("utf-8", "replace"))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
