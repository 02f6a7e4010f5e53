"""How many of OpenMP's threads FAISS works in."""

import faiss


def one_thread() -> None:
    """Have FAISS work in the calling thread alone.

    A search of a few questions is over before other threads have begun, and they go on spinning for what comes next:
    at 30,000 prompts that was a third of all that detection costs. Searches run side by side in threads of their own.
    """
    faiss.omp_set_num_threads(1)
