"""For development and tests: development realms, the demo, the pytest plugin. No serving process imports it."""
