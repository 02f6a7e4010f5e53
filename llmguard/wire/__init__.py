"""Request and response shapes of the protocols that the guard speaks. Pure: bytes in, values out."""
