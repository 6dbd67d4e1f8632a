"""The HTTP edge: wire models, problems, dependencies and routes. Nothing below knows a web framework."""
