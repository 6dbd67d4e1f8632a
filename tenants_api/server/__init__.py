"""uvicorn's options and limits, the metrics port and standalone forward auth."""
