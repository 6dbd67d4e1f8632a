"""A process's copy of the registry: change feed, snapshot, stored key sets, health."""
