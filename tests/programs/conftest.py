"""The programs here are run by tests/test_programs.py; they say `import pyro` and are not for pytest to import."""

collect_ignore_glob = ["*.py"]
