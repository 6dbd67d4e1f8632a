"""Strict JSON and base64url, and sealing."""
