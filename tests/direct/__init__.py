"""The registry through a driver alone, held against the registry through SQLAlchemy: the same cases over both."""
