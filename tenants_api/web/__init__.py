"""Shared by the HTTP edges: problems, middleware, the current principal, the current admin."""
