"""The demo: `make demo`, in `__main__`."""
