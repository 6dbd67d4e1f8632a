"""The registry through a database driver, for forward auth alone: no SQLAlchemy, and of the two drivers only one."""
