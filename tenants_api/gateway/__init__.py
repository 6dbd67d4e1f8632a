"""Configurations of proxies that ask forward auth. Text out of templates; knows no proxy process and no network."""
