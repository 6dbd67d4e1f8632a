"""The HTTP client with SSRF protection, for URLs that tenants choose."""
