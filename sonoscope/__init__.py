"""The command line, the Python client, and the supervisor of `up`: the only place that may import all of the floors."""
