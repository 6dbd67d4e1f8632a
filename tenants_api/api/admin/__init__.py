"""The routes of the admin plane."""
