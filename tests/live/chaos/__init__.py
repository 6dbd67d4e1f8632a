"""Faults of realms, of this API and of its databases, one after the other, under steady load."""
