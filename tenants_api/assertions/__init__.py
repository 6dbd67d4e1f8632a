"""The internal assertion: a signed token of this API about the caller, for services behind it. Knows no HTTP."""
