"""Distributions and checks for tests of inference algorithms."""
