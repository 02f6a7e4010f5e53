"""The services inside the guard: endpoints that no model upstream answers."""
