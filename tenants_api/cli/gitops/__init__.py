"""`tenants apply` and `tenants export`: import and export of the registry as a file."""
