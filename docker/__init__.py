"""Images, one folder each, and ``bootstrap``, which makes a machine ready for containers."""
