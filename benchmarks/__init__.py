"""Measurements that anyone can repeat: `make bench`. Each prints ratios measured side by side in one run."""
