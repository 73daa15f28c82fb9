"""What decides: values in, values out. Nothing in here reads a clock, a file or a socket."""
