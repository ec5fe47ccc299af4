"""Experiments: a plan of requests in blocks, made one after the other, and gone on with where it was broken off."""
