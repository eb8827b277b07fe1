"""Distributions of our own, by kinship: one idea a file."""
