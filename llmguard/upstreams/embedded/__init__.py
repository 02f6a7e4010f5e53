"""The models that ship with the guard, in a process of their own.

The parent's side (embedded, order, answer, line, process, frames) imports no torch; the
worker's side (worker, models, generation, llama, minilm, …) is imported by nothing else.
"""
