"""Where marking meets a serving engine; the only place that may import torch."""
