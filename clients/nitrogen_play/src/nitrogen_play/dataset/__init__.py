"""`nitrogen-play dataset`: recordings as data sets."""
