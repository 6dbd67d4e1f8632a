"""Who our tenants are: tenants, their realms, states, role rules, admin keys and the trail of changes."""
