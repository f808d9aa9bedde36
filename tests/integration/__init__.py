"""Real processes, real sockets, real files: a cluster driven by its command line, used by real NBD clients."""
