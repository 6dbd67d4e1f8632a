"""The routes of the tenant plane, the admin plane and the documentation pages."""
