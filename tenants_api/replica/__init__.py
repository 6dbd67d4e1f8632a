"""The replica, a process's copy of the registry: change feed, register, stored key sets, health."""
