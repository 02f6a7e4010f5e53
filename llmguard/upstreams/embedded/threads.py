"""How many threads torch works with."""

import torch

TOKEN = 1
"""For a token: its products are so short that waiting for a second thread costs what that
saves, and on a busy machine many times more."""

TEXT = 2
"""For a whole prompt, or for texts that nobody waits for."""

SENTENCES = 1
"""For a batch of texts: who asks for vectors by the hundred keeps the guard busy beside, and a thread that waits for
another spins."""


def use(threads: int) -> None:
    """Work with so many threads from here on."""
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)
