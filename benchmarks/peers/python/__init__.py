"""One FastAPI route behind each of the packages; imports nothing of this product and runs without it."""
