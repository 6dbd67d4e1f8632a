"""What the HTTP edges share: problems, middleware, the current principal, the current admin."""
