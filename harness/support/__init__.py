"""What all packages of the harness use: processes, ports, waits, errors."""
