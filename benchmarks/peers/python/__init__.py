"""A FastAPI route with each of the packages; does not import this product."""
