"""Graph files that Triton's backends load, and the proof that they compute what the network computes."""
