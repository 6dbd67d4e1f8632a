"""Development realms, the demo and the pytest plugin. No serving process imports this package."""
