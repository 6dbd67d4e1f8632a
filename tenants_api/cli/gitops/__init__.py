"""`tenants apply` and `tenants export`: the registry as a file. Reads, plans, applies; the rules are the registry's."""
