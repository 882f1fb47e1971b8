"""The cost of a frame, and the number of machines that some players need."""
