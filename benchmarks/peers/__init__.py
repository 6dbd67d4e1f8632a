"""Packages that this product is compared with, each used as its documentation describes."""
